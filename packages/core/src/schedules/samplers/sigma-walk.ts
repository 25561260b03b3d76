import { at, weightedSum } from '../arithmetic.js';
import type { NoiseSchedule } from '../noise.js';
import { originalOf } from '../prediction.js';
import { karrasSigmas, scalesOfSigma, sigmaAt, sigmaTable, timestepAt } from '../sigmas.js';
import { spaceTimesteps } from '../spacing.js';
import type { SamplerOptions } from './sampler.js';

/** What euler, euler-ancestral and heun share: samples are `original + sigma * noise`, and are shown to the network at variance one. */
export interface SigmaWalk {
  readonly timesteps: readonly number[];
  /** One more than timesteps: the last is where the walk ends. */
  readonly sigmas: readonly number[];
  readonly initNoiseSigma: number;
}

export function createSigmaWalk(schedule: NoiseSchedule, options: SamplerOptions): SigmaWalk {
  const { steps, spacing = 'linspace', stepsOffset = 0, karras = false, finalSigma = 'zero' } = options;
  const table = sigmaTable(schedule);
  let timesteps = spaceTimesteps({
    trainSteps: schedule.trainSteps,
    steps,
    spacing,
    stepsOffset,
    fractional: true,
  });
  let sigmas = timesteps.map((timestep) => sigmaAt(table, timestep));
  if (karras) {
    sigmas = karrasSigmas(at(sigmas, 0), at(sigmas, steps - 1), steps);
    timesteps = sigmas.map((sigma) => Math.fround(timestepAt(table, sigma)));
  }
  sigmas = [...sigmas, finalSigma === 'zero' ? 0 : at(table, 0)].map(Math.fround);
  const largest = Math.max(...sigmas);
  return { timesteps, sigmas, initNoiseSigma: spacing === 'leading' ? Math.hypot(largest, 1) : largest };
}

/** The sample at variance one. */
export function toUnitVariance(sample: Float32Array, sigma: number): Float32Array {
  return weightedSum([scalesOfSigma(sigma).signal, sample]);
}

/** The original that the network's output implies. @param sample - `original + sigma * noise` */
export function originalAt(
  prediction: SamplerOptions['prediction'],
  output: Float32Array,
  sample: Float32Array,
  sigma: number,
): Float32Array {
  return originalOf(prediction, output, toUnitVariance(sample, sigma), scalesOfSigma(sigma));
}
