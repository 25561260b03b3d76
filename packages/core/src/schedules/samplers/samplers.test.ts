import { describe, expect, it } from 'vitest';
import { Generator } from '../../random.js';
import { predictionTarget } from '../../training/loss.js';
import { createNoiseSchedule, STABLE_DIFFUSION_NOISE } from '../noise.js';
import { PREDICTIONS, type PredictionType, scalesOf } from '../prediction.js';
import { SPACINGS } from '../spacing.js';
import { createSampler, SAMPLERS, type SamplerName, type SamplerOptions } from './index.js';

const schedule = createNoiseSchedule(STABLE_DIFFUSION_NOISE);
const original = new Generator(1).normal(64).map((x) => 0.5 * x);

/**
 * Draws with a network that knows the picture: whatever it is asked to predict, it says what `original` implies.
 * The samples of every sampler are `signal * original + noise * epsilon` once scaled.
 */
function draw(name: SamplerName, options: Partial<SamplerOptions> = {}): Float32Array {
  const prediction: PredictionType = options.prediction ?? 'epsilon';
  const sampler = createSampler(name, schedule, { steps: 12, stepsOffset: 1, ...options, prediction });
  const generator = new Generator(2);
  let sample: Float32Array = generator.normal(original.length).map((x) => x * sampler.initNoiseSigma);
  for (const [index, timestep] of sampler.timesteps.entries()) {
    const input = sampler.scaleModelInput(sample, index);
    const scales = scalesOf(alphaAt(timestep));
    const noise = input.map((x, i) => (x - scales.signal * (original[i] ?? 0)) / scales.noise);
    sample = sampler.step(predictionTarget(prediction, original, noise, alphaAt(timestep)), index, sample, generator);
  }
  return sample;
}

const sigma = (timestep: number) => Math.sqrt(1 / (schedule.alphasCumprod[Math.min(timestep, 999)] ?? 1) - 1);

/** Between timesteps, sigma is what the samplers interpolate. */
function alphaAt(timestep: number): number {
  const low = Math.floor(timestep);
  return 1 / (1 + (sigma(low) + (timestep - low) * (sigma(low + 1) - sigma(low))) ** 2);
}

const distance = (a: Float32Array, b: Float32Array) =>
  Math.sqrt(a.reduce((sum, x, i) => sum + (x - (b[i] ?? 0)) ** 2, 0) / a.length);

describe.each(SAMPLERS)('%s', (name) => {
  const spacings = name === 'lcm' ? [undefined] : SPACINGS;
  it.each(spacings)('finds the picture that the network knows, spacing %s', (spacing) => {
    expect(distance(draw(name, { spacing }), original)).toBeLessThan(0.1);
  });

  it.each(PREDICTIONS)('does so whatever the network predicts: %s', (prediction) => {
    expect(distance(draw(name, { prediction }), draw(name))).toBeLessThan(0.02);
  });

  it('begins and ends within the schedule, however many steps', () => {
    for (const steps of [1, 2, 3, 7, 49, 50]) {
      for (const spacing of SPACINGS) {
        const { timesteps } = createSampler(name, schedule, { steps, spacing, prediction: 'epsilon' });
        expect(new Set(timesteps).size).toBeLessThanOrEqual(steps);
        expect(Math.max(...timesteps)).toBeLessThan(1000);
        expect(Math.min(...timesteps)).toBeGreaterThanOrEqual(0);
        expect(timesteps.toSorted((a, b) => b - a)).toEqual(timesteps);
      }
    }
  });
});

describe('euler-ancestral', () => {
  it("ends without noise, whatever another sampler's file says of the last sigma", () => {
    const options = { finalSigma: 'sigma_min' } as const;
    expect(draw('euler-ancestral', options)).toEqual(draw('euler-ancestral'));
    expect(draw('euler', options)).not.toEqual(draw('euler'));
  });
});

describe('createSampler', () => {
  const options: SamplerOptions = { steps: 10, prediction: 'epsilon' };

  it('suggests a name', () => {
    expect(() => createSampler('eular', schedule, options)).toThrow(/Did you mean "euler"/);
  });

  it.each([0, -1, 1.5, Number.NaN, 1001])('refuses %s steps', (steps) => {
    expect(() => createSampler('ddim', schedule, { ...options, steps })).toThrow(/steps: expected a whole number/);
  });

  it('refuses timesteps that the schedule does not have', () => {
    expect(() => createSampler('ddim', schedule, { ...options, steps: 1000, stepsOffset: 1 })).toThrow(/begin at 1000/);
  });

  it('refuses to divide by no signal at all', () => {
    const dark = createNoiseSchedule({ ...STABLE_DIFFUSION_NOISE, zeroTerminalSnr: true });
    const trailing: SamplerOptions = { ...options, spacing: 'trailing' };
    expect(() => createSampler('ddim', dark, trailing)).toThrow(/pure noise/);
    expect(createSampler('ddim', dark, { ...trailing, prediction: 'v_prediction' }).timesteps[0]).toBe(999);
  });

  it('adds noise that it has a generator for', () => {
    const sampler = createSampler('euler-ancestral', schedule, options);
    expect(() => sampler.step(original, 0, original)).toThrow(/generator/);
  });
});
