import { expect, test } from 'vitest';
import { divided, together } from './batch.js';

const numbers = (data: number[], ...shape: number[]) => ({ data: Float32Array.from(data), shape });
const INPUTS = {
  rows: numbers([7, 8], 1, 2),
  x: numbers([1, 2, 3, 4, 5, 6, 7, 8], 4, 2),
  weights: numbers([1, 2, 3, 4], 4),
};

test('a batch is divided into equal parts, and what all share goes to each', () => {
  expect(divided(INPUTS, { shared: ['rows'] }, 2)).toEqual([
    { rows: INPUTS.rows, x: numbers([1, 2, 3, 4], 2, 2), weights: numbers([1, 2], 2) },
    { rows: INPUTS.rows, x: numbers([5, 6, 7, 8], 2, 2), weights: numbers([3, 4], 2) },
  ]);
});

test.each([
  [1, 1],
  [3, 2],
  [4, 4],
  [64, 4],
])('at most %i parts of four pictures: %i', (most, parts) => {
  expect(divided(INPUTS, { shared: ['rows'] }, most)).toHaveLength(parts);
});

test('outputs are put one after another, or their mean is taken', () => {
  const outputs = [
    { y: numbers([1, 2], 1, 2), loss: numbers([1]) },
    { y: numbers([3, 4], 1, 2), loss: numbers([4]) },
  ];
  expect(together(outputs, { means: ['loss'] })).toEqual({ y: numbers([1, 2, 3, 4], 2, 2), loss: numbers([2.5]) });
});
