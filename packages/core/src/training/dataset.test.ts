import { describe, expect, test } from 'vitest';
import { resizeBicubic } from '../bicubic.js';
import { createPicture } from '../picture.js';
import type { Picture } from '../platform.js';
import { Generator } from '../random.js';
import { DATASET_DEFAULTS, type DatasetOptions, flatten, prepareDataset } from './dataset.js';

/** Each pixel says where it is: row, column, and a constant. */
const map = (height: number, width: number): Picture =>
  createPicture(
    Uint8Array.from({ length: height * width * 3 }, (_, i) => {
      const [pixel, channel] = [Math.floor(i / 3), i % 3];
      return [Math.floor(pixel / width), pixel % width, 200][channel] ?? 0;
    }),
    [height, width, 3],
  );

const prepare = (picture: Picture, options: Partial<DatasetOptions> = {}, seed = 0) =>
  prepareDataset([picture], 8, { ...DATASET_DEFAULTS, ...options }, new Generator(seed));

/** The 8-bit values of one channel of a square. */
const channel = (data: Float32Array, c: number) => [...data.subarray(c * 64, (c + 1) * 64)].map(eightBits);
const eightBits = (value: number) => Math.round((value + 1) * 127.5);

describe('prepareDataset', () => {
  test('a strip is refused: its shorter side would be made as long as the square', () => {
    const strip = (height: number, width: number) =>
      createPicture(new Uint8Array(height * width * 3), [height, width, 3]);
    for (const [height, width] of [
      [1, 33],
      [100_000, 16],
    ] as const)
      expect(() => prepare(strip(height, width))).toThrow(expect.objectContaining({ code: 'IMAGE_FORMAT' }));
    expect(prepare(strip(1, 32))[0]?.squares).toHaveLength(1);
  });

  test('a picture of the right size keeps its pixels, in [-1, 1], channels first', () => {
    const [picture] = prepare(map(8, 8));
    expect(picture?.squares).toHaveLength(1);
    const { data, shape } = picture?.squares[0] ?? { data: new Float32Array(), shape: [] };
    expect(shape).toEqual([1, 3, 8, 8]);
    expect(channel(data, 0)).toEqual(Array.from({ length: 64 }, (_, i) => Math.floor(i / 8)));
    expect(channel(data, 1)).toEqual(Array.from({ length: 64 }, (_, i) => i % 8));
    expect(data[0]).toBe(-1);
    expect(data[128]).toBe(Math.fround(200 / 127.5 - 1));
  });

  test.each([
    ['wide', 16, 40, [8, 20], [0, 6]],
    ['tall', 40, 16, [20, 8], [6, 0]],
    ['small', 4, 6, [8, 12], [0, 2]],
    // 8 / 9 of 10 is 8.9, which is nearer to 9 than to 8.
    ['odd', 9, 10, [8, 9], [0, 0]],
  ] as const)(
    'a %s picture: the shorter side becomes the square, cut from the middle',
    (_, h, w, [height, width], [top, left]) => {
      const [picture] = prepare(map(h, w));
      const resized = resizeBicubic(map(h, w), height, width);
      for (const c of [0, 1, 2])
        expect(channel(picture?.squares[0]?.data ?? new Float32Array(), c)).toEqual(
          Array.from({ length: 64 }, (__, i) => resized.get(top + Math.floor(i / 8), left + (i % 8), c)),
        );
    },
  );

  test('random squares: four, inside the picture, decided by the seed', () => {
    const options = { crop: 'random' } as const;
    const [first] = prepare(map(8, 40), options);
    expect(first?.squares).toHaveLength(4);
    expect(prepare(map(8, 40), options)[0]).toEqual(first);
    expect(prepare(map(8, 40), options, 1)[0]).not.toEqual(first);
    for (const { data } of first?.squares ?? []) {
      const columns = channel(data, 1);
      const left = columns[0] ?? -1;
      expect(left).toBeLessThanOrEqual(32);
      expect(columns.slice(0, 8)).toEqual(Array.from({ length: 8 }, (_, i) => left + i));
    }
  });

  test('every square is followed by its mirror image where wished', () => {
    const [picture] = prepare(map(8, 8), { flip: true });
    const [square, mirror] = picture?.squares.map(({ data }) => data) ?? [];
    expect(picture?.squares).toHaveLength(2);
    expect(channel(mirror ?? new Float32Array(), 0)).toEqual(channel(square ?? new Float32Array(), 0));
    expect(channel(mirror ?? new Float32Array(), 1).slice(8, 16)).toEqual([7, 6, 5, 4, 3, 2, 1, 0]);
  });

  test('no pictures', () => {
    expect(() => prepareDataset([], 8, DATASET_DEFAULTS, new Generator(0))).toThrowError(
      expect.objectContaining({ code: 'IMAGE_NONE' }),
    );
  });
});

describe('flatten', () => {
  test('alpha shows the background, and a picture without it is handed back', () => {
    const pixels = Uint8Array.of(10, 20, 30, 255, 10, 20, 30, 0, 10, 20, 30, 51);
    const { data, shape } = flatten(createPicture(pixels, [1, 3, 4]), [255, 0, 100]);
    expect(shape).toEqual([1, 3, 3]);
    expect([...data]).toEqual([10, 20, 30, 255, 0, 100, 206, 4, 86]);
    const opaque = map(2, 2);
    expect(flatten(opaque, [0, 0, 0])).toBe(opaque);
  });

  test.each([[[4, 4]], [[4, 4, 1]], [[0, 4, 3]]])('numbers of shape %j are no picture', (shape) => {
    const picture = { ...map(4, 4), shape };
    expect(() => flatten(picture, [0, 0, 0])).toThrowError(expect.objectContaining({ code: 'IMAGE_FORMAT' }));
  });
});
