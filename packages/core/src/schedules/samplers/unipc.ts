import { at, type Term, weightedSum } from '../arithmetic.js';
import { originalOf, type Scales } from '../prediction.js';
import { logRatio } from '../sigmas.js';
import { createMultistepWalk } from './multistep.js';
import { type CreateSampler, unscaled } from './sampler.js';

/** An original that the network implied, and where. */
interface Estimate {
  readonly original: Float32Array;
  readonly scales: Scales;
}

/** One step of the predictor: enough to take it again, corrected, when the network has seen where it led. */
interface Step {
  readonly sample: Float32Array;
  readonly from: Estimate;
  /** The estimate before, where the step is of second order. */
  readonly before: Estimate | undefined;
}

/**
 * Predictor and corrector of second order; the corrector costs no further call of the network.
 * @see Zhao et al. 2023, arXiv 2302.04867, algorithms 1 and 2, B(h) = e^h - 1 ("bh2"), for the original rather than the noise
 */
export const createUnipc: CreateSampler = (schedule, options) => {
  const { timesteps, scales } = createMultistepWalk(schedule, options);
  let last: Step | undefined;
  return {
    timesteps,
    initNoiseSigma: 1,
    scaleModelInput: unscaled,
    step(output, index, sample) {
      const here = at(scales, index);
      const original = originalOf(options.prediction, output, sample, here);
      const from = { original, scales: here };
      const corrected = last ? correct(last, from) : sample;
      const secondOrder = index < timesteps.length - 1;
      last = { sample: corrected, from, before: secondOrder ? last?.from : undefined };
      return predict(last, at(scales, index + 1));
    },
  };
};

/** @see algorithm 2, with the coefficient 1/2 that the paper takes for the second order */
function predict(step: Step, to: Scales): Float32Array {
  const { base, h } = integrate(step, to);
  return weightedSum(...base, ...slope(step, to, h, 0.5));
}

/** @see algorithm 1, coefficients from its equation 9 */
function correct(step: Step, arrived: Estimate): Float32Array {
  const to = arrived.scales;
  const { base, h } = integrate(step, to);
  const [older, newest] = step.before ? correctorWeights(h, ratioOf(step, step.before, h)) : [0, 0.5];
  const scale = -to.signal * Math.expm1(-h) * newest;
  return weightedSum(...base, ...slope(step, to, h, older), [scale, arrived.original], [-scale, step.from.original]);
}

/** The step of first order: exact where the original does not change. */
function integrate({ sample, from }: Step, to: Scales): { base: [Term, Term]; h: number } {
  const h = logRatio(to) - logRatio(from.scales);
  return {
    h,
    base: [
      [to.noise / from.scales.noise, sample],
      [-to.signal * Math.expm1(-h), from.original],
    ],
  };
}

/** What the change of the original since the estimate before adds. */
function slope(step: Step, to: Scales, h: number, weight: number): Term[] {
  const { from, before } = step;
  if (!before) return [];
  const factor = (-to.signal * Math.expm1(-h) * weight) / ratioOf(step, before, h);
  return [
    [factor, before.original],
    [-factor, from.original],
  ];
}

/** Where the estimate before lies, in steps from this one: negative. */
function ratioOf({ from }: Step, before: Estimate, h: number): number {
  return (logRatio(before.scales) - logRatio(from.scales)) / h;
}

/** Solves `a + b = b1, r a + b = b2` for the weights of the older and the newest difference. */
function correctorWeights(h: number, r: number): [older: number, newest: number] {
  const phi1 = Math.expm1(-h);
  const phi2 = phi1 / -h - 1;
  const phi3 = phi2 / -h - 1 / 2;
  const [b1, b2] = [phi2 / phi1, (2 * phi3) / phi1];
  const older = (b1 - b2) / (1 - r);
  return [older, b1 - older];
}
