import sharp from 'sharp';
import { expect, test } from 'vitest';
import { createPicture } from '../../../core/src/index.js';
import { resample } from './resample.js';

const [HEIGHT, WIDTH] = [48, 32];

/** Slopes with a hard edge every few pixels. */
const pixels = Uint8Array.from({ length: HEIGHT * WIDTH * 3 }, (_, i) => ((i % (WIDTH * 3)) * 1.7 + i / 40) % 256);

test.each([
  [16, 16],
  [24, 31],
])('shrinks to %d x %d as libvips does', async (height, width) => {
  const raw = { width: WIDTH, height: HEIGHT, channels: 3 } as const;
  const expected = await sharp(pixels, { raw })
    .resize(width, height, { fit: 'fill', kernel: 'lanczos3' })
    .raw()
    .toBuffer();
  const { data, shape } = resample(createPicture(pixels, [HEIGHT, WIDTH, 3]), height, width);
  expect(shape).toEqual([height, width, 3]);
  const differences = [...data].map((value, i) => Math.abs(value - (expected[i] ?? Number.NaN)));
  expect(Math.max(...differences)).toBeLessThanOrEqual(2);
});

test('a colour stays itself, under half-transparent pixels too', () => {
  const data = Uint8Array.from({ length: 8 * 8 * 4 }, (_, i) => [200, 100, 50, i < 128 ? 255 : 0][i % 4] ?? 0);
  const small = resample(createPicture(data, [8, 8, 4]), 3, 3);
  for (let x = 0; x < 3; x++) {
    expect(Math.abs(small.get(0, x, 0) - 200)).toBeLessThanOrEqual(1);
    expect(Math.abs(small.get(0, x, 2) - 50)).toBeLessThanOrEqual(1);
  }
});
