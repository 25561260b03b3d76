import { expect, test } from 'vitest';
import { createPicture } from '../picture.js';
import { resizeBicubic } from './bicubic.js';
import { readClipPreprocessing, toClipPixels } from './preprocess.js';

/** What Pillow 12 gives for the picture below, resized with BICUBIC. */
const PILLOW: readonly [number, number, readonly number[]][] = [
  [
    3,
    4,
    [
      64, 99, 138, 167, 74, 118, 143, 167, 76, 124, 161, 174, 139, 126, 151, 125, 132, 136, 153, 132, 128, 132, 153,
      139, 138, 161, 133, 104, 141, 172, 158, 111, 144, 165, 145, 123,
    ],
  ],
  [
    9,
    10,
    [
      0, 29, 66, 51, 104, 141, 144, 123, 160, 221, 4, 41, 118, 64, 120, 106, 162, 108, 185, 222, 5, 66, 103, 82, 85,
      122, 175, 160, 197, 234, 4, 37, 74, 58, 112, 149, 155, 131, 168, 244, 12, 49, 131, 71, 128, 113, 175, 116, 193,
      245, 13, 74, 114, 89, 93, 129, 190, 168, 205, 255, 18, 55, 92, 79, 132, 169, 163, 152, 189, 217, 31, 67, 133, 93,
      149, 136, 178, 137, 214, 218, 31, 93, 122, 111, 113, 152, 187, 190, 226, 228, 46, 83, 120, 120, 167, 204, 147,
      190, 227, 52, 59, 96, 91, 135, 185, 182, 136, 174, 254, 53, 59, 123, 105, 152, 145, 197, 124, 230, 255, 49, 83,
      129, 183, 170, 120, 165, 188, 104, 143, 44, 92, 132, 135, 194, 120, 185, 169, 103, 150, 45, 101, 138, 156, 210,
      125, 181, 149, 116, 149, 36, 137, 188, 190, 190, 84, 105, 200, 29, 74, 110, 139, 182, 166, 211, 66, 145, 189, 45,
      57, 111, 153, 167, 179, 220, 117, 132, 178, 12, 51, 107, 219, 255, 40, 136, 153, 78, 95, 103, 158, 177, 213, 251,
      87, 124, 135, 58, 110, 122, 131, 178, 216, 241, 74, 110, 186, 79, 124, 81, 134, 189, 140, 175, 69, 126, 172, 146,
      111, 161, 208, 106, 143, 180, 78, 125, 173, 119, 113, 162, 208, 107, 143, 190, 79, 125, 176, 141, 114, 172, 213,
      110, 46, 83, 138, 132, 169, 214, 155, 192, 228, 22, 59, 96, 93, 150, 187, 199, 138, 175, 255, 23, 60, 124, 113,
      169, 147, 211, 120, 233, 255, 16,
    ],
  ],
  [
    2,
    7,
    [
      37, 74, 111, 148, 155, 192, 165, 40, 77, 114, 151, 158, 195, 168, 43, 80, 117, 154, 161, 198, 171, 135, 172, 118,
      155, 121, 158, 94, 138, 175, 121, 158, 124, 161, 97, 141, 178, 124, 161, 127, 164, 100,
    ],
  ],
];

/** What transformers' CLIPImageProcessor gives for nine rows of six pixels at a size of 4. */
const TRANSFORMERS = [
  -0.30322, -0.69738, 0.57268, 0.55808, 0.4413, -0.05505, -0.5076, 0.76246, -0.68278, 0.58728, 0.13473, -0.36162,
  -0.4784, -0.493, 0.77706, 0.3829, 0.33398, -0.0112, -0.52146, 0.12387, 1.08437, 0.70918, 0.22893, -0.28134, 0.04884,
  -0.28134, 0.43904, 0.48406, 0.18391, -0.2213, -0.5965, 0.67916, 0.88031, 0.76655, 0.31151, -0.00133, -0.28573,
  0.95141, 1.02251, 0.61013, 0.31151, 0.01289, 0.33995, 0.06977, 1.02251, 0.56747, 0.09821, -0.25729,
];

test.each(PILLOW)('resizes to %i x %i as Pillow does', (height, width, expected) => {
  const pixels = Uint8Array.from({ length: 6 * 7 * 3 }, (_, i) => i * 37 + 11 * Math.floor(i / 21) ** 2);
  const resized = resizeBicubic(createPicture(pixels, [6, 7, 3]), height, width);
  const differences = Array.from(resized.data, (value, i) => Math.abs(value - (expected[i] ?? Number.NaN)));
  expect(resized.data.length).toBe(expected.length);
  // Pillow's weights have 22 bits, so a value half-way between two may fall to the other side.
  expect(Math.max(...differences)).toBeLessThanOrEqual(1);
});

test('prepares a picture as transformers does', () => {
  const config = readClipPreprocessing({ size: { shortest_edge: 4 }, crop_size: { height: 4, width: 4 } }, 'test');
  const picture = createPicture(
    Uint8Array.from({ length: 9 * 6 * 3 }, (_, i) => i * 37),
    [9, 6, 3],
  );
  const { data, shape } = toClipPixels(picture, config);
  expect(shape).toEqual([1, 3, 4, 4]);
  data.forEach((value, i) => expect(Math.abs(value - (TRANSFORMERS[i] ?? Number.NaN))).toBeLessThan(0.02));
});

test('reads old and new configurations, and refuses other arithmetic', () => {
  expect(readClipPreprocessing({ size: 224, crop_size: 224 }, 'old')).toMatchObject({ shortestPx: 224, cropPx: 224 });
  expect(
    readClipPreprocessing({ size: { shortest_edge: 32 }, crop_size: { height: 16, width: 16 } }, 'new'),
  ).toMatchObject({
    shortestPx: 32,
    cropPx: 16,
  });
  expect(() => readClipPreprocessing({ resample: 2 }, 'bilinear')).toThrowError(
    expect.objectContaining({ code: 'MODEL_UNSUPPORTED' }),
  );
  expect(() => readClipPreprocessing({ image_mean: [0.5] }, 'one mean')).toThrowError(
    expect.objectContaining({ code: 'MODEL_CONFIG' }),
  );
});
