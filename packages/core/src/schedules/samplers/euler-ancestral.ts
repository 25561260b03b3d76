import { at, weightedSum } from '../arithmetic.js';
import { type CreateSampler, drawNoise } from './sampler.js';
import { createSigmaWalk, originalAt, toUnitVariance } from './sigma-walk.js';

/**
 * Euler's step to less noise than planned, then fresh noise up to the plan: ddpm's way on the sigma scale.
 * @see Song et al. 2021, arXiv 2010.02502, equation 16, eta 1
 */
export const createEulerAncestral: CreateSampler = (schedule, options) => {
  const { timesteps, sigmas, initNoiseSigma } = createSigmaWalk(schedule, {
    ...options,
    karras: false,
    finalSigma: 'zero', // without one in the end, noise would be left
  });
  return {
    timesteps,
    initNoiseSigma,
    scaleModelInput: (sample, index) => toUnitVariance(sample, at(sigmas, index)),
    step(output, index, sample, generator) {
      const [sigma, next] = [at(sigmas, index), at(sigmas, index + 1)];
      const up = Math.sqrt((next ** 2 * (sigma ** 2 - next ** 2)) / sigma ** 2);
      const down = Math.sqrt(next ** 2 - up ** 2);
      const original = originalAt(options.prediction, output, sample, sigma);
      return weightedSum([down / sigma, sample], [1 - down / sigma, original], [up, drawNoise(generator, sample)]);
    },
  };
};
