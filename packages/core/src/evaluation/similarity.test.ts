import { expect, test } from 'vitest';
import { meanDirection, meanSimilarity, meanSimilarityWithin, normalized } from './similarity.js';

const [x, y] = [Float32Array.of(1, 0), Float32Array.of(0, 1)];

test('directions have length 1', () => {
  expect([...normalized(Float32Array.of(3, 4))]).toEqual([Math.fround(0.6), Math.fround(0.8)]);
  expect([...normalized(Float32Array.of(0, 0))]).toEqual([0, 0]);
  const between = meanDirection([x, y]);
  expect(between[0]).toBeCloseTo(Math.SQRT1_2, 6);
  expect(between[1]).toBeCloseTo(Math.SQRT1_2, 6);
});

test('similarity between lists, and within one', () => {
  expect(meanSimilarity([x, y], [x])).toBe(0.5);
  expect(meanSimilarityWithin([x, x, y])).toBeCloseTo(1 / 3, 12);
  expect(meanSimilarityWithin([x])).toBeUndefined();
});
