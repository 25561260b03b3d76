import { expect, test } from 'vitest';
import { createPicture } from '../picture.js';
import { readClipPreprocessing, toClipPixels } from './preprocess.js';

/** What transformers' CLIPImageProcessor gives for nine rows of six pixels at a size of 4. */
const TRANSFORMERS = [
  -0.30322, -0.69738, 0.57268, 0.55808, 0.4413, -0.05505, -0.5076, 0.76246, -0.68278, 0.58728, 0.13473, -0.36162,
  -0.4784, -0.493, 0.77706, 0.3829, 0.33398, -0.0112, -0.52146, 0.12387, 1.08437, 0.70918, 0.22893, -0.28134, 0.04884,
  -0.28134, 0.43904, 0.48406, 0.18391, -0.2213, -0.5965, 0.67916, 0.88031, 0.76655, 0.31151, -0.00133, -0.28573,
  0.95141, 1.02251, 0.61013, 0.31151, 0.01289, 0.33995, 0.06977, 1.02251, 0.56747, 0.09821, -0.25729,
];

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
