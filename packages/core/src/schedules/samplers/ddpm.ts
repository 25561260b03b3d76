import { at, clip, weightedSum } from '../arithmetic.js';
import { originalOf, scalesOf } from '../prediction.js';
import { spaceTimesteps } from '../spacing.js';
import { type CreateSampler, drawNoise, unscaled } from './sampler.js';

/**
 * The reverse of the forward process, noise and all, with the smaller of the two variances.
 * @see Ho et al. 2020, arXiv 2006.11239, equation 7
 */
export const createDdpm: CreateSampler = (schedule, options) => {
  const { steps, prediction, spacing = 'leading', stepsOffset = 0, clipSample } = options;
  const { trainSteps, alphasCumprod } = schedule;
  const timesteps = spaceTimesteps({ trainSteps, steps, spacing, stepsOffset });
  return {
    timesteps,
    initNoiseSigma: 1,
    scaleModelInput: unscaled,
    step(output, index, sample, generator) {
      const alpha = at(alphasCumprod, at(timesteps, index));
      const next = timesteps[index + 1];
      const alphaNext = next === undefined ? 1 : at(alphasCumprod, next);
      const kept = alpha / alphaNext; // of the signal's variance, in this step
      const original = clip(originalOf(prediction, output, sample, scalesOf(alpha)), clipSample);
      const mean = weightedSum(
        [(Math.sqrt(alphaNext) * (1 - kept)) / (1 - alpha), original],
        [(Math.sqrt(kept) * (1 - alphaNext)) / (1 - alpha), sample],
      );
      if (at(timesteps, index) === 0) return mean;
      const variance = ((1 - alphaNext) / (1 - alpha)) * (1 - kept);
      return weightedSum([1, mean], [Math.sqrt(Math.max(variance, 1e-20)), drawNoise(generator, sample)]);
    },
  };
};
