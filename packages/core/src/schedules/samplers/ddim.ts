import { at, clip, weightedSum } from '../arithmetic.js';
import { epsilonOf, originalOf, scalesOf } from '../prediction.js';
import { spaceTimesteps } from '../spacing.js';
import { type CreateSampler, unscaled } from './sampler.js';

/**
 * The same marginals as ddpm, without its noise.
 * @see Song et al. 2021, arXiv 2010.02502, equation 12, eta 0
 */
export const createDdim: CreateSampler = (schedule, options) => {
  const { steps, prediction, spacing = 'leading', stepsOffset = 0, setAlphaToOne = true, clipSample } = options;
  const { trainSteps, alphasCumprod } = schedule;
  const timesteps = spaceTimesteps({ trainSteps, steps, spacing, stepsOffset });
  const stride = Math.floor(trainSteps / steps);
  const finalAlpha = setAlphaToOne ? 1 : at(alphasCumprod, 0);
  return {
    timesteps,
    initNoiseSigma: 1,
    scaleModelInput: unscaled,
    step(output, index, sample) {
      const timestep = at(timesteps, index);
      const scales = scalesOf(at(alphasCumprod, timestep));
      const next = scalesOf(timestep >= stride ? at(alphasCumprod, timestep - stride) : finalAlpha);
      const original = clip(originalOf(prediction, output, sample, scales), clipSample);
      return weightedSum([next.signal, original], [next.noise, epsilonOf(prediction, output, sample, scales)]);
    },
  };
};
