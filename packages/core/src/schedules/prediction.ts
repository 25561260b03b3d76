import { weightedSum } from './arithmetic.js';

/**
 * What a network was trained to say about `x = signal * original + noise * epsilon`: the noise, the original, or
 * `v = signal * epsilon - noise * original`.
 * @see Ho et al. 2020, arXiv 2006.11239 (epsilon); Salimans and Ho 2022, arXiv 2202.00512 (v)
 */
export const PREDICTIONS = ['epsilon', 'v_prediction', 'sample'] as const;
export type PredictionType = (typeof PREDICTIONS)[number];

/** How much of the original and of the noise is in a sample; their squares add up to one. */
export interface Scales {
  readonly signal: number;
  readonly noise: number;
}

/** @param alphaCumprod - Share of the signal's variance. */
export function scalesOf(alphaCumprod: number): Scales {
  return { signal: Math.sqrt(alphaCumprod), noise: Math.sqrt(1 - alphaCumprod) };
}

/** The original that the network's `output` implies for `sample`. */
export function originalOf(
  prediction: PredictionType,
  output: Float32Array,
  sample: Float32Array,
  { signal, noise }: Scales,
): Float32Array {
  switch (prediction) {
    case 'epsilon':
      return weightedSum([1 / signal, sample], [-noise / signal, output]);
    case 'sample':
      return output;
    case 'v_prediction':
      return weightedSum([signal, sample], [-noise, output]);
  }
}

/** The noise that the network's `output` implies for `sample`. */
export function epsilonOf(
  prediction: PredictionType,
  output: Float32Array,
  sample: Float32Array,
  { signal, noise }: Scales,
): Float32Array {
  switch (prediction) {
    case 'epsilon':
      return output;
    case 'sample':
      return weightedSum([1 / noise, sample], [-signal / noise, output]);
    case 'v_prediction':
      return weightedSum([signal, output], [noise, sample]);
  }
}
