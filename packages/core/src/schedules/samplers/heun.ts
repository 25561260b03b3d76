import { at, clip, weightedSum } from '../arithmetic.js';
import type { CreateSampler } from './sampler.js';
import { createSigmaWalk, originalAt, toUnitVariance } from './sigma-walk.js';

/**
 * Each Euler step is taken again with the mean of the slopes at its two ends, except the last: the network is called
 * `2 * steps - 1` times.
 * @see Karras et al. 2022, arXiv 2206.00364, algorithm 1
 */
export const createHeun: CreateSampler = (schedule, options) => {
  const { timesteps, sigmas, initNoiseSigma } = createSigmaWalk(schedule, { ...options, finalSigma: 'zero' });
  // Call number 2k is at sigma k; call number 2k + 1 looks at where the Euler step has led, sigma k + 1.
  const sigmaOfCall = (index: number) => at(sigmas, Math.ceil(index / 2));
  let first: { sample: Float32Array; slope: Float32Array } | undefined;
  return {
    timesteps: [...timesteps.slice(0, 1), ...timesteps.slice(1).flatMap((timestep) => [timestep, timestep])],
    initNoiseSigma,
    scaleModelInput: (sample, index) => toUnitVariance(sample, sigmaOfCall(index)),
    step(output, index, sample) {
      const here = sigmaOfCall(index);
      const original = clip(originalAt(options.prediction, output, sample, here), options.clipSample);
      const slope = weightedSum([1 / here, sample], [-1 / here, original]);
      if (first) {
        const { sample: start, slope: startSlope } = first;
        first = undefined;
        const half = (here - sigmaOfCall(index - 1)) / 2;
        return weightedSum([1, start], [half, startSlope], [half, slope]);
      }
      first = { sample, slope };
      return weightedSum([1, sample], [sigmaOfCall(index + 1) - here, slope]);
    },
  };
};
