/** A factor and what it multiplies. */
export type Term = readonly [factor: number, values: Float32Array];

/** `factor * values + factor * values + ...`, summed in float64. All formulas of the samplers end here. */
export function weightedSum(...terms: readonly [Term, ...Term[]]): Float32Array {
  return terms[0][1].map((_, i) => {
    let sum = 0;
    for (const [factor, values] of terms) sum += factor * (values[i] ?? Number.NaN);
    return sum;
  });
}

/** Confines every value to `[-range, range]`; leaves all alone where there is no range. */
export function clip(values: Float32Array, range: number | undefined): Float32Array {
  return range === undefined ? values : values.map((value) => Math.max(-range, Math.min(range, value)));
}

/** The value at `index`, which the caller knows to be there. */
export function at<T>(values: ArrayLike<T>, index: number): T {
  const value = values[index];
  if (value === undefined) throw new RangeError(`index ${index} of ${values.length}`);
  return value;
}

/** Rounds halves to the even neighbour, as NumPy does; `Math.round` takes them up. */
export function roundHalfEven(x: number): number {
  const floor = Math.floor(x);
  if (x - floor !== 0.5) return Math.round(x);
  return floor % 2 === 0 ? floor : floor + 1;
}
