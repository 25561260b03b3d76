import { at, roundHalfEven } from '../arithmetic.js';
import type { NoiseSchedule } from '../noise.js';
import type { Scales } from '../prediction.js';
import { karrasSigmas, scalesOfSigma, sigmaAt, sigmaTable, timestepAt } from '../sigmas.js';
import { spaceTimesteps } from '../spacing.js';
import type { SamplerOptions } from './sampler.js';

/** What dpmsolver++ and unipc share. */
export interface MultistepWalk {
  readonly timesteps: readonly number[];
  /** Signal and noise at each timestep, and one more where the walk ends. */
  readonly scales: readonly Scales[];
}

/** @param toTimestep - Karras' sigmas fall between timesteps; this makes a whole one. */
export function createMultistepWalk(
  schedule: NoiseSchedule,
  options: SamplerOptions,
  toTimestep: (fractional: number) => number = roundHalfEven,
): MultistepWalk {
  const { steps, spacing = 'linspace', stepsOffset = 0, karras = false, finalSigma = 'zero' } = options;
  const table = sigmaTable(schedule);
  const last = finalSigma === 'zero' ? 0 : at(table, 0);
  let timesteps = spaceTimesteps({ trainSteps: schedule.trainSteps, steps, spacing, stepsOffset, openEnd: true });
  let sigmas = timesteps.map((timestep) => sigmaAt(table, timestep));
  if (karras) {
    sigmas = karrasSigmas(at(table, table.length - 1), at(table, 0), steps);
    timesteps = sigmas.map((sigma) => toTimestep(timestepAt(table, sigma)));
  }
  return { timesteps, scales: [...sigmas, last].map((sigma) => scalesOfSigma(Math.fround(sigma))) };
}
