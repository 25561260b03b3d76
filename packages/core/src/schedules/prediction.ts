import { at, weightedSum } from './arithmetic.js';
import type { NoiseSchedule } from './noise.js';

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

/** @param timestep - A whole number, `0 <= timestep < trainSteps`. */
export function signalAndNoiseScale(schedule: NoiseSchedule, timestep: number): Scales {
  return scalesOf(at(schedule.alphasCumprod, timestep));
}

export function scalesOf(alphaCumprod: number): Scales {
  return { signal: Math.sqrt(alphaCumprod), noise: Math.sqrt(1 - alphaCumprod) };
}

/**
 * Mixes noise into a batch.
 * @param latents - `[B, ...]`
 * @param noise - The same shape.
 * @param scales - One per item of the batch: this gives `B`.
 */
export function addNoise(latents: Float32Array, noise: Float32Array, scales: readonly Scales[]): Float32Array {
  return perItem(scales, latents, noise, ({ signal, noise: rate }, x, e) => weightedSum([signal, x], [rate, e]));
}

/** What the network should say about the batch that `addNoise` made of the same arguments. */
export function targetOf(
  prediction: PredictionType,
  latents: Float32Array,
  noise: Float32Array,
  scales: readonly Scales[],
): Float32Array {
  switch (prediction) {
    case 'epsilon':
      return noise;
    case 'sample':
      return latents;
    case 'v_prediction':
      return perItem(scales, latents, noise, ({ signal, noise: rate }, x, e) => weightedSum([signal, e], [-rate, x]));
  }
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

function perItem(
  scales: readonly Scales[],
  latents: Float32Array,
  noise: Float32Array,
  mix: (scales: Scales, latents: Float32Array, noise: Float32Array) => Float32Array,
): Float32Array {
  const length = latents.length / scales.length;
  if (!Number.isInteger(length) || noise.length !== latents.length) {
    throw new RangeError(`${latents.length} latents and ${noise.length} of noise for ${scales.length} items`);
  }
  const out = new Float32Array(latents.length);
  scales.forEach((scale, i) => {
    const [from, to] = [i * length, (i + 1) * length];
    out.set(mix(scale, latents.subarray(from, to), noise.subarray(from, to)), from);
  });
  return out;
}
