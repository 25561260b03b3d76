import { at, roundHalfEven, type Term, weightedSum } from '../arithmetic.js';
import type { NoiseSchedule } from '../noise.js';
import { originalOf } from '../prediction.js';
import { logRatio } from '../sigmas.js';
import { createMultistepWalk } from './multistep.js';
import { type CreateSampler, drawNoise, type Sampler, type SamplerOptions, unscaled } from './sampler.js';

/** Short runs end with a first-order step even where the walk ends with some noise: the second order is not stable there. */
const SHORT = 15;

/** DPM-Solver++(2M). @see Lu et al. 2022, arXiv 2211.01095, algorithm 2 */
export const createDpmSolver: CreateSampler = (schedule, options) => create(schedule, options, false);

/** SDE-DPM-Solver++(2M): fresh noise in every step. @see Lu et al. 2022, arXiv 2211.01095, section 5 and appendix B */
export const createDpmSolverSde: CreateSampler = (schedule, options) => create(schedule, options, true);

function create(schedule: NoiseSchedule, options: SamplerOptions, stochastic: boolean): Sampler {
  // The reference rounds Karras' timesteps for every schedule but this one, where it cuts the fraction off.
  const toTimestep = schedule.betaSchedule === 'squaredcos_cap_v2' ? Math.trunc : roundHalfEven;
  const { timesteps, scales } = createMultistepWalk(schedule, options, toTimestep);
  let previous: Float32Array | undefined;
  return {
    timesteps,
    initNoiseSigma: 1,
    scaleModelInput: unscaled,
    step(output, index, sample, generator) {
      const [here, next] = [at(scales, index), at(scales, index + 1)];
      const h = logRatio(next) - logRatio(here); // infinite where the walk ends without noise
      const original = originalOf(options.prediction, output, sample, here);
      const last = index === timesteps.length - 1;
      const firstOrder = last && (next.noise === 0 || timesteps.length < SHORT);

      const decay = Math.exp(stochastic ? -2 * h : -h);
      const gain = next.signal * (1 - decay);
      const terms: [Term, ...Term[]] = [
        [(next.noise / here.noise) * (stochastic ? Math.exp(-h) : 1), sample],
        [gain, original],
      ];
      if (previous && !firstOrder) {
        const r = (logRatio(here) - logRatio(at(scales, index - 1))) / h;
        terms.push([gain / (2 * r), original], [-gain / (2 * r), previous]);
      }
      if (stochastic) terms.push([next.noise * Math.sqrt(1 - decay), drawNoise(generator, sample)]);
      previous = original;
      return weightedSum(...terms);
    },
  };
}
