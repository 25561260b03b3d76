import { TextualInversionError } from './errors.js';

/**
 * Fills in defaults. A key that is `undefined` counts as not given, so callers can pass options through.
 */
export function withDefaults<D extends object, O extends object>(options: O, defaults: D): D & O {
  const result: Record<string, unknown> = Object.fromEntries(Object.entries(defaults));
  for (const [key, value] of Object.entries(options)) if (value !== undefined) result[key] = value;
  return result as D & O;
}

/** The entry of `known` nearest to `word` by edit distance, else one that `word` is a part of, for "did you mean". */
export function nearest(word: string, known: readonly string[]): string | undefined {
  let best = word.length > 2 ? known.find((candidate) => candidate.includes(word.toLowerCase())) : undefined;
  let bestDistance = Math.max(2, Math.ceil(word.length / 2)) + 1;
  for (const candidate of known) {
    const distance = editDistance(word.toLowerCase(), candidate.toLowerCase());
    if (distance < bestDistance) [best, bestDistance] = [candidate, distance];
  }
  return best;
}

/** Checks that `value` is one of `known`, and suggests the nearest name when it is not. */
export function oneOf<T extends string>(where: string, value: string, known: readonly T[]): T {
  const match = known.find((name) => name === value);
  if (match !== undefined) return match;
  const guess = nearest(value, known);
  throw new TextualInversionError('OPTION_INVALID', {
    where,
    expected: `one of ${known.join(', ')}`,
    found: JSON.stringify(value),
    fix: guess ? `Did you mean "${guess}"?` : undefined,
    details: { value, known: [...known] },
  });
}

/** Checks that `value` is a text: whoever calls from JavaScript has no compiler to say so. */
export function text(where: string, value: unknown): string {
  if (typeof value === 'string') return value;
  throw new TextualInversionError('OPTION_INVALID', { where, expected: 'a text', found: shown(value) });
}

/** A value of any kind, as messages show it. */
export function shown(value: unknown): string {
  return typeof value === 'string'
    ? JSON.stringify(value)
    : typeof value === 'object' && value
      ? 'an object'
      : String(value);
}

/** Checks that `value` is a finite number in `[min, max]`, and whole where `integer` is set. */
export function numberIn(
  where: string,
  value: unknown,
  {
    min = -Infinity,
    max = Infinity,
    integer = false,
    exclusiveMin = false,
  }: { min?: number; max?: number; integer?: boolean; exclusiveMin?: boolean } = {},
): number {
  if (typeof value === 'number' && Number.isFinite(value) && (!integer || Number.isInteger(value))) {
    if ((exclusiveMin ? value > min : value >= min) && value <= max) return value;
  }
  const kind = integer ? 'a whole number' : 'a number';
  const lower = min === -Infinity ? '' : exclusiveMin ? ` above ${min}` : ` of at least ${min}`;
  const upper = max === Infinity ? '' : ` and at most ${max}`;
  throw new TextualInversionError('OPTION_INVALID', {
    where,
    expected: `${kind}${lower}${upper}`,
    found: shown(value),
    details: { value },
  });
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const substitute = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(substitute, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
