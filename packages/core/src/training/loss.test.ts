import { describe, expect, test } from 'vitest';
import { originalOf, scalesOf } from '../schedules/prediction.js';
import { minSnrWeight, noisyLatents, predictionTarget } from './loss.js';

const latents = Float32Array.of(0.5, -1, 2);
const noise = Float32Array.of(-0.25, 1.5, 0);

describe('noisyLatents', () => {
  test('is all signal at the start, all noise at the end, and keeps the variance between', () => {
    expect(noisyLatents(latents, noise, 1)).toEqual(latents);
    expect(noisyLatents(latents, noise, 0)).toEqual(noise);
    const { signal, noise: rest } = scalesOf(0.64);
    expect([signal, rest]).toEqual([0.8, expect.closeTo(0.6, 12)]);
    expect([...noisyLatents(latents, noise, 0.64)]).toEqual([
      expect.closeTo(0.25, 6),
      expect.closeTo(0.1, 6),
      expect.closeTo(1.6, 6),
    ]);
  });
});

describe('predictionTarget', () => {
  test.each(['epsilon', 'v_prediction', 'sample'] as const)('%s: a perfect network gives the picture back', (type) => {
    const alpha = 0.3;
    const target = predictionTarget(type, latents, noise, alpha);
    const back = originalOf(type, target, noisyLatents(latents, noise, alpha), scalesOf(alpha));
    latents.forEach((value, i) => expect(back[i]).toBeCloseTo(value, 5));
  });
});

describe('minSnrWeight', () => {
  /** Signal-to-noise ratios of 9 and of 1. */
  const [easy, even] = [0.9, 0.5];
  test.each([
    ['epsilon', 5 / 9, 1],
    ['v_prediction', 5 / 10, 1 / 2],
    ['sample', 5, 1],
  ] as const)('%s, as the paper has it', (type, first, second) => {
    expect(minSnrWeight(type, easy, 5)).toBeCloseTo(first, 10);
    expect(minSnrWeight(type, even, 5)).toBeCloseTo(second, 10);
  });

  test('a timestep without signal has a weight, too', () => {
    expect(minSnrWeight('epsilon', 0, 5)).toBe(1);
    expect(minSnrWeight('v_prediction', 0, 5)).toBe(0);
    expect(minSnrWeight('sample', 0, 5)).toBe(0);
  });
});
