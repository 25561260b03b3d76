import { expect, test } from 'vitest';
import { sinusoids, sizeEmbedding } from './embeddings.js';

test('cosines first, then sines, of falling frequencies', () => {
  const { data, shape } = sinusoids([2], { width: 4, cosineFirst: true, shift: 0 });
  expect(shape).toEqual([1, 4]);
  [Math.cos(2), Math.cos(0.02), Math.sin(2), Math.sin(0.02)].forEach((value, i) =>
    expect(data[i]).toBeCloseTo(value, 6),
  );
});

test('sines first; the shift moves the last frequency to 1 / 10,000', () => {
  const { data } = sinusoids([2], { width: 4, cosineFirst: false, shift: 1 });
  [Math.sin(2), Math.sin(0.0002), Math.cos(2), Math.cos(0.0002)].forEach((value, i) =>
    expect(data[i]).toBeCloseTo(value, 6),
  );
});

test('an odd width ends in zero', () => {
  expect(sinusoids([2], { width: 5, cosineFirst: true, shift: 0 }).data[4]).toBe(0);
});

test('six sizes of a picture become one row', () => {
  expect(
    sizeEmbedding(
      [
        [64, 64, 0, 0, 64, 64],
        [32, 64, 0, 0, 64, 64],
      ],
      { width: 8, cosineFirst: true, shift: 0 },
    ).shape,
  ).toEqual([2, 48]);
});
