import { type PredictionType, type Scales, scalesOf } from '../schedules/prediction.js';

/** Latents with noise at a timestep. @param alphaCumprod - Share of the signal's variance there. @see Ho et al. 2020, arXiv 2006.11239, equation 4 */
export function noisyLatents(latents: Float32Array, noise: Float32Array, alphaCumprod: number): Float32Array {
  const scales = scalesOf(alphaCumprod);
  return latents.map((value, i) => scales.signal * value + scales.noise * (noise[i] ?? 0));
}

/** What a network of this prediction type should say. @see Salimans and Ho 2022, arXiv 2202.00512, section 2.4 (v) */
export function predictionTarget(
  prediction: PredictionType,
  latents: Float32Array,
  noise: Float32Array,
  alphaCumprod: number,
): Float32Array {
  const scales = scalesOf(alphaCumprod);
  switch (prediction) {
    case 'epsilon':
      return noise;
    case 'v_prediction':
      return noise.map((value, i) => scales.signal * value - scales.noise * (latents[i] ?? 0));
    case 'sample':
      return latents;
  }
}

/**
 * Min-SNR weight of a timestep: keeps the easy, nearly clean timesteps from drowning the others.
 * @param gamma - Largest signal-to-noise ratio that counts in full; the paper uses 5.
 * @see Hang et al. 2023, arXiv 2303.09556, section 3.4
 */
export function minSnrWeight(prediction: PredictionType, alphaCumprod: number, gamma: number): number {
  const { signal, noise }: Scales = scalesOf(alphaCumprod);
  const snr = (signal / noise) ** 2;
  const clipped = Math.min(snr, gamma);
  switch (prediction) {
    case 'epsilon':
      return snr > 0 ? clipped / snr : 1;
    case 'v_prediction':
      return clipped / (snr + 1);
    case 'sample':
      return clipped;
  }
}
