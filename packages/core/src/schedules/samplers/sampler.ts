import type { Generator } from '../../random.js';
import type { NoiseSchedule } from '../noise.js';
import type { PredictionType } from '../prediction.js';
import type { Spacing } from '../spacing.js';

/**
 * Walks from noise to a picture's latents. One object per run: most samplers remember earlier steps.
 *
 * ```ts
 * let sample = noise.map((x) => x * sampler.initNoiseSigma);
 * for (const [index, timestep] of sampler.timesteps.entries()) {
 *   const output = await network(sampler.scaleModelInput(sample, index), timestep);
 *   sample = sampler.step(output, index, sample, generator);
 * }
 * ```
 */
export interface Sampler {
  /** What to tell the network at each call, falling; may hold fractions, and may hold a value twice. */
  readonly timesteps: readonly number[];
  /** What to multiply standard normal noise by to get the first sample. */
  readonly initNoiseSigma: number;
  /** What to show the network. */
  scaleModelInput(sample: Float32Array, index: number): Float32Array;
  /**
   * Takes one step.
   * @param output - What the network said about `scaleModelInput(sample, index)`.
   * @param generator - Needed by the samplers that add noise: one draw as long as the sample per step.
   */
  step(output: Float32Array, index: number, sample: Float32Array, generator?: Generator): Float32Array;
}

/** Which way a sampler walks. What is not given has the sampler's own default, as in the diffusers library. */
export interface SamplerOptions {
  /** Number of steps; some samplers call the network more often. */
  steps: number;
  /** What the network says. */
  prediction: PredictionType;
  /** @defaultValue `leading` for ddpm, ddim, pndm; `linspace` for the others. lcm has its own. */
  spacing?: Spacing;
  /** Added to the timesteps of `leading`. @defaultValue 0 */
  stepsOffset?: number;
  /**
   * ddim, pndm: whether the last step ends without any noise, rather than with that of timestep 0.
   * @defaultValue true for ddim, false for pndm
   */
  setAlphaToOne?: boolean;
  /** ddpm, ddim, heun, lcm: confines the original to `[-clipSample, clipSample]`. Latents want none. @defaultValue none */
  clipSample?: number;
  /** euler, heun, dpmsolver++, unipc: Karras' sigmas. @defaultValue false, but true for the samplers named so */
  karras?: boolean;
  /** euler, dpmsolver++, unipc: what the last step ends with. @defaultValue 'zero' */
  finalSigma?: 'zero' | 'sigma_min';
  /** lcm: steps of the sampler it was distilled from. @defaultValue 50 */
  originalSteps?: number;
  /** lcm: sharpness of the boundary condition. @defaultValue 10 */
  timestepScaling?: number;
}

/** Makes a sampler from checked options. */
export type CreateSampler = (schedule: NoiseSchedule, options: SamplerOptions) => Sampler;

/** For the samplers whose samples go to the network as they are. */
export const unscaled = (sample: Float32Array): Float32Array => sample;

/** One draw of noise. */
export function drawNoise(generator: Generator | undefined, sample: Float32Array): Float32Array {
  if (!generator) throw new TypeError('this sampler adds noise: give its step a generator');
  return generator.normal(sample.length);
}
