import { at, weightedSum } from '../arithmetic.js';
import type { CreateSampler } from './sampler.js';
import { createSigmaWalk, originalAt, toUnitVariance } from './sigma-walk.js';

/**
 * Straight steps along the probability flow.
 * @see Karras et al. 2022, arXiv 2206.00364, algorithm 1 without the second-order correction
 */
export const createEuler: CreateSampler = (schedule, options) => {
  const { timesteps, sigmas, initNoiseSigma } = createSigmaWalk(schedule, options);
  return {
    timesteps,
    initNoiseSigma,
    scaleModelInput: (sample, index) => toUnitVariance(sample, at(sigmas, index)),
    step(output, index, sample) {
      const [sigma, next] = [at(sigmas, index), at(sigmas, index + 1)];
      const original = originalAt(options.prediction, output, sample, sigma);
      return weightedSum([next / sigma, sample], [1 - next / sigma, original]);
    },
  };
};
