import { describe, expect, it } from 'vitest';
import type { LearningRateShape } from '../models/model-hints.js';
import { learningRateAt, scaledByBatch } from './learning-rate.js';

/** What `get_scheduler` of diffusers 0.42 gives for 8 steps, 2 of them warm-up, peak 2. */
const REFERENCE: [LearningRateShape, number[]][] = [
  ['constant', [0, 1, 2, 2, 2, 2, 2, 2]],
  ['linear', [0, 1, 2, 5 / 3, 4 / 3, 1, 2 / 3, 1 / 3]],
  ['cosine', [0, 1, 2, 1.8660254037844388, 1.5, 1, 0.5, 0.1339745962155613]],
];

describe('learningRateAt', () => {
  it.each(REFERENCE)('%s', (shape, expected) => {
    for (const [step, rate] of expected.entries()) {
      expect(learningRateAt(step, 8, { peak: 2, shape, warmupSteps: 2 })).toBeCloseTo(rate, 12);
    }
  });

  it('begins at the peak where there is no warm-up', () => {
    expect(learningRateAt(0, 8, { peak: 2, shape: 'cosine', warmupSteps: 0 })).toBe(2);
  });
});

describe('scaledByBatch', () => {
  it('multiplies by the pictures that one update has seen', () => {
    expect(scaledByBatch(5e-4, 4, 2)).toBeCloseTo(4e-3, 12);
  });
});
