import { at, type Term, weightedSum } from '../arithmetic.js';
import { epsilonOf, scalesOf } from '../prediction.js';
import { spaceTimesteps } from '../spacing.js';
import { type CreateSampler, unscaled } from './sampler.js';

/** Adams-Bashforth coefficients by number of outputs at hand, newest first. */
const COEFFICIENTS: readonly (readonly number[])[] = [
  [],
  [1],
  [3 / 2, -1 / 2],
  [23 / 12, -16 / 12, 5 / 12],
  [55 / 24, -59 / 24, 37 / 24, -9 / 24],
];

/**
 * A linear multistep solver along ddim's path ("PLMS"). The second timestep is visited twice: its first output only corrects
 * the first step.
 * @see Liu et al. 2022, arXiv 2202.09778, equations 11 and 12, without the Runge-Kutta start
 */
export const createPndm: CreateSampler = (schedule, options) => {
  const { steps, prediction, spacing = 'leading', stepsOffset = 0, setAlphaToOne = false } = options;
  const { trainSteps, alphasCumprod } = schedule;
  const visited = spaceTimesteps({ trainSteps, steps, spacing, stepsOffset });
  const timesteps = [...visited.slice(0, 2), ...visited.slice(1)];
  const stride = Math.floor(trainSteps / steps);
  const alphaAt = (timestep: number) =>
    timestep >= 0 ? at(alphasCumprod, timestep) : setAlphaToOne ? 1 : at(alphasCumprod, 0);

  let outputs: Float32Array[] = []; // newest first
  let start: Float32Array | undefined;

  /** Equation 11 with the output turned into noise at the step's own start. */
  const transfer = (output: Float32Array, sample: Float32Array, from: number, to: number): Float32Array => {
    const [alpha, alphaNext] = [alphaAt(from), alphaAt(to)];
    const epsilon = epsilonOf(prediction, output, sample, scalesOf(alpha));
    const denominator = alpha * Math.sqrt(1 - alphaNext) + Math.sqrt(alpha * (1 - alpha) * alphaNext);
    return weightedSum([Math.sqrt(alphaNext / alpha), sample], [-(alphaNext - alpha) / denominator, epsilon]);
  };

  return {
    timesteps,
    initNoiseSigma: 1,
    scaleModelInput: unscaled,
    step(output, index, sample) {
      const timestep = at(timesteps, index);
      if (index === 1 && start) {
        const mean = weightedSum([0.5, output], [0.5, at(outputs, 0)]);
        return transfer(mean, start, timestep + stride, timestep);
      }
      if (index === 0) start = sample;
      outputs = [output, ...outputs].slice(0, 4);
      const terms = outputs.map((values, i): Term => [at(at(COEFFICIENTS, outputs.length), i), values]);
      const [newest = [1, output], ...older] = terms;
      return transfer(weightedSum(newest, ...older), sample, timestep, timestep - stride);
    },
  };
};
