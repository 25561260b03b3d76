import { numberIn } from '../../options.js';
import { at, clip, weightedSum } from '../arithmetic.js';
import { originalOf, scalesOf } from '../prediction.js';
import { type CreateSampler, drawNoise, unscaled } from './sampler.js';

/** Standard deviation of the data that the boundary condition assumes. */
const SIGMA_DATA = 0.5;

/**
 * For networks distilled to jump to the original at once: jump, add noise for the next timestep, jump again.
 * @see Luo et al. 2023, arXiv 2310.04378, algorithm 3
 */
export const createLcm: CreateSampler = (schedule, options) => {
  const { steps, prediction, clipSample, originalSteps = 50, timestepScaling = 10 } = options;
  const { trainSteps, alphasCumprod } = schedule;
  numberIn('originalSteps', originalSteps, { min: 1, max: trainSteps, integer: true });
  numberIn('steps (for lcm)', steps, { min: 1, max: originalSteps, integer: true });
  const stride = Math.floor(trainSteps / originalSteps);
  const timesteps = Array.from(
    { length: steps },
    (_, i) => (originalSteps - Math.floor(i * (originalSteps / steps))) * stride - 1,
  );
  return {
    timesteps,
    initNoiseSigma: 1,
    scaleModelInput: unscaled,
    step(output, index, sample, generator) {
      const timestep = at(timesteps, index);
      const original = clip(originalOf(prediction, output, sample, scalesOf(at(alphasCumprod, timestep))), clipSample);
      const t = timestep * timestepScaling;
      const jumped = weightedSum(
        [t / Math.hypot(t, SIGMA_DATA), original],
        [SIGMA_DATA ** 2 / (t ** 2 + SIGMA_DATA ** 2), sample],
      );
      const next = timesteps[index + 1];
      if (next === undefined) return jumped;
      const { signal, noise } = scalesOf(at(alphasCumprod, next));
      return weightedSum([signal, jumped], [noise, drawNoise(generator, sample)]);
    },
  };
};
