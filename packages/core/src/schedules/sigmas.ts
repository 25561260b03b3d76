import { at } from './arithmetic.js';
import type { NoiseSchedule } from './noise.js';
import type { Scales } from './prediction.js';

/**
 * Some samplers measure noise by `sigma`, its standard deviation over that of the signal:
 * `sigma = sqrt((1 - alphaCumprod) / alphaCumprod)`.
 * @see Karras et al. 2022, arXiv 2206.00364
 */

/** The least share of signal that gives a finite sigma (4,096): schedules that end in pure noise would give infinity. */
const LEAST_ALPHA = 2 ** -24;

/** Sigma at every timestep of the training, rising, `[trainSteps]`. */
export function sigmaTable({ alphasCumprod }: NoiseSchedule): Float64Array {
  return alphasCumprod.map((alpha) => {
    const kept = Math.max(alpha, LEAST_ALPHA);
    return Math.fround(Math.sqrt((1 - kept) / kept));
  });
}

/** Sigma between the timesteps of the table, by linear interpolation. */
export function sigmaAt(table: Float64Array, timestep: number): number {
  const low = Math.min(Math.max(Math.floor(timestep), 0), table.length - 1);
  const high = Math.min(low + 1, table.length - 1);
  const share = timestep - low;
  return at(table, low) + share * (at(table, high) - at(table, low));
}

/** The (fractional) timestep whose sigma this is, by interpolation between logarithms. */
export function timestepAt(table: Float64Array, sigma: number): number {
  const above = table.findIndex((entry) => entry > sigma);
  const low = Math.min(Math.max((above === -1 ? table.length : above) - 1, 0), table.length - 2);
  const [logLow, logHigh] = [Math.log(at(table, low)), Math.log(at(table, low + 1))];
  const share = (logLow - Math.log(Math.max(sigma, 1e-10))) / (logLow - logHigh);
  return low + Math.min(Math.max(share, 0), 1);
}

/** `count` sigmas from `max` down to `min`, dense where there is little noise. @see Karras et al. 2022, equation 5, rho 7 */
export function karrasSigmas(max: number, min: number, count: number): number[] {
  const rho = 7;
  const [from, to] = [max ** (1 / rho), min ** (1 / rho)];
  return Array.from({ length: count }, (_, i) => (from + (count > 1 ? i / (count - 1) : 0) * (to - from)) ** rho);
}

/** Signal and noise of a sample whose variances add up to one. */
export function scalesOfSigma(sigma: number): Scales {
  const signal = 1 / Math.sqrt(sigma * sigma + 1);
  return { signal, noise: sigma * signal };
}

/** Half the logarithm of the signal-to-noise ratio; infinite where there is no noise. @see Lu et al. 2022, arXiv 2206.00927 */
export const logRatio = ({ signal, noise }: Scales): number => Math.log(signal) - Math.log(noise);
