import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The folder of reference numbers: `TI_GOLDEN`, or the one that lies here. */
export const GOLDEN = process.env['TI_GOLDEN'] ?? fileURLToPath(new URL('../golden', import.meta.url));

export const golden = (...path: string[]): string => join(GOLDEN, ...path);

export interface GoldenTensor {
  readonly data: Float32Array | Float64Array | Int32Array;
  readonly shape: readonly number[];
  readonly dtype: string;
}

/** Reads a file of the goldens, independently of the reader under test. Half precision is not needed here. */
export function readTensors(path: string): Map<string, GoldenTensor> {
  const { entries, bytes, start } = open(path);
  const tensors = new Map<string, GoldenTensor>();
  for (const [name, { dtype, shape, data_offsets: range }] of entries) {
    const [from, to] = range;
    const buffer = new Uint8Array(bytes.subarray(start + from, start + to)).buffer;
    const data = { F32: Float32Array, F64: Float64Array, I32: Int32Array }[dtype];
    if (data) tensors.set(name, { data: new data(buffer), shape, dtype });
  }
  return tensors;
}

/** The `about` entry of a file's metadata: its settings. The caller says what is in it. */
// oxlint-disable-next-line typescript/no-unnecessary-type-parameters
export function about<T>(path: string): T {
  const settings: T = JSON.parse(open(path).about);
  return settings;
}

interface Entry {
  dtype: string;
  shape: number[];
  data_offsets: [number, number];
}

function open(path: string) {
  const bytes = readFileSync(path);
  const length = Number(bytes.readBigUInt64LE(0));
  const header: Record<string, Entry> & { __metadata__?: { about?: string } } = JSON.parse(
    bytes.subarray(8, 8 + length).toString(),
  );
  const { __metadata__: metadata, ...entries } = header;
  return {
    entries: new Map<string, Entry>(Object.entries(entries)),
    about: metadata?.about ?? 'null',
    bytes,
    start: 8 + length,
  };
}

/** Largest absolute difference over the reference's root mean square, and where it is. */
export function relativeError(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
): { error: number; index: number } {
  if (actual.length !== expected.length) throw new Error(`expected ${expected.length} numbers, found ${actual.length}`);
  let squares = 0;
  for (let i = 0; i < expected.length; i++) squares += (expected[i] ?? 0) ** 2;
  const rms = Math.sqrt(squares / expected.length);
  if (!(rms > 0) || !Number.isFinite(rms)) throw new Error(`a reference with root mean square ${rms} can show nothing`);
  let [error, index] = [0, 0];
  for (let i = 0; i < expected.length; i++) {
    const difference = Math.abs((actual[i] ?? Number.NaN) - (expected[i] ?? Number.NaN)) / rms;
    if (!Number.isFinite(difference)) throw new Error(`number ${i} is ${actual[i]}, expected ${expected[i]}`);
    if (difference > error) [error, index] = [difference, i];
  }
  return { error, index };
}

/** Fails when any number differs from the reference by more than `bound` times the reference's root mean square. */
export function expectClose(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  bound: number,
  name = 'value',
): void {
  const { error, index } = relativeError(actual, expected);
  if (error > bound) {
    throw new Error(
      `${name}: relative error ${error.toExponential(2)} above ${bound.toExponential(0)} at ${index}: ` +
        `expected ${expected[index]}, found ${actual[index]}`,
    );
  }
}
