import { TextualInversionError } from '../errors.js';

/**
 * Reads another library's JSON config key by key. A key that is absent or null takes the fallback: old files hold a third of
 * today's keys, and their defaults are the library's.
 */
export class ForeignConfig {
  private readonly json: Readonly<Record<string, unknown>>;

  /** @param where - For messages, such as `unet/config.json`. @throws MODEL_CONFIG when `json` is no object */
  constructor(
    private readonly where: string,
    json: unknown,
  ) {
    if (typeof json !== 'object' || json === null || Array.isArray(json)) throw this.wrong('', 'a JSON object', json);
    this.json = Object.fromEntries(Object.entries(json));
  }

  /** The value as it is; undefined where it is absent or null. */
  value(key: string): unknown {
    return this.json[key] ?? undefined;
  }

  /** The object below `key`. */
  below(key: string): ForeignConfig {
    return new ForeignConfig(`${this.where}: ${key}`, this.value(key));
  }

  number(key: string, fallback?: number): number {
    const value = this.value(key) ?? fallback;
    if (typeof value !== 'number' || !Number.isFinite(value)) throw this.wrong(key, 'a number', value);
    return value;
  }

  /** A whole number above zero. */
  count(key: string, fallback?: number): number {
    return this.asCount(key, this.value(key) ?? fallback);
  }

  flag(key: string, fallback: boolean): boolean {
    const value = this.value(key) ?? fallback;
    if (typeof value !== 'boolean') throw this.wrong(key, 'true or false', value);
    return value;
  }

  text(key: string, fallback?: string): string {
    const value = this.value(key) ?? fallback;
    if (typeof value !== 'string') throw this.wrong(key, 'a string', value);
    return value;
  }

  /** A list of whole numbers above zero. */
  counts(key: string, fallback?: readonly number[]): number[] {
    return this.list(key, fallback).map((value) => this.asCount(key, value));
  }

  texts(key: string, fallback?: readonly string[]): string[] {
    return this.list(key, fallback).map((value) => {
      if (typeof value !== 'string') throw this.wrong(key, 'a list of strings', value);
      return value;
    });
  }

  /** One whole number for all levels, or a list with one for each. */
  perLevel(key: string, levels: number, fallback?: number): number[] {
    const value = this.value(key) ?? fallback;
    if (!Array.isArray(value)) return Array.from({ length: levels }, () => this.asCount(key, value));
    if (value.length !== levels) throw this.wrong(key, `${levels} numbers, one per level`, value);
    return value.map((entry) => this.asCount(key, entry));
  }

  /** One of the values that we can compute with. @throws MODEL_UNSUPPORTED */
  oneOf<T extends string>(key: string, known: readonly T[], fallback: T): T {
    const value = this.value(key) ?? fallback;
    const match = known.find((entry) => entry === value);
    if (match === undefined) throw this.unsupported(key, known.join(' or '), value);
    return match;
  }

  /** Refuses the keys that change the arithmetic in a way we do not know: each may only be absent, null, or the given value. */
  only(allowed: Readonly<Record<string, unknown>>): void {
    for (const [key, plain] of Object.entries(allowed)) {
      const value = this.value(key);
      if (value !== undefined && JSON.stringify(value) !== JSON.stringify(plain)) {
        throw this.unsupported(key, plain === undefined ? 'nothing' : JSON.stringify(plain), value);
      }
    }
  }

  unsupported(key: string, expected: string, value: unknown): TextualInversionError {
    return this.error('MODEL_UNSUPPORTED', key, expected, value);
  }

  wrong(key: string, expected: string, value: unknown): TextualInversionError {
    return this.error('MODEL_CONFIG', key, expected, value);
  }

  private error(
    code: 'MODEL_UNSUPPORTED' | 'MODEL_CONFIG',
    key: string,
    expected: string,
    value: unknown,
  ): TextualInversionError {
    const found = value === undefined ? 'nothing' : JSON.stringify(value);
    return new TextualInversionError(code, {
      where: key ? `${this.where}: ${key}` : this.where,
      expected,
      found,
      details: { key, value },
    });
  }

  private asCount(key: string, value: unknown): number {
    if (typeof value !== 'number' || !Number.isInteger(value) || value < 1)
      throw this.wrong(key, 'a whole number above zero', value);
    return value;
  }

  private list(key: string, fallback?: readonly unknown[]): readonly unknown[] {
    const value = this.value(key) ?? fallback;
    if (!Array.isArray(value) || value.length === 0) throw this.wrong(key, 'a list', value);
    return value;
  }
}
