import { resizeBicubic } from '../bicubic.js';
import { TextualInversionError } from '../errors.js';
import { createPicture } from '../picture.js';
import type { HostTensor, Picture } from '../platform.js';
import type { Generator } from '../random.js';

/** How pictures become the squares that are learned from. */
export interface DatasetOptions {
  /** Which square of a picture that is none: its middle, or squares drawn at random. @defaultValue 'center' */
  readonly crop: 'center' | 'random';
  /** Whether every square is also shown mirrored. Leave it off for things that are not symmetric, such as text. @defaultValue false */
  readonly flip: boolean;
  /** Colour under transparent pixels, 0 to 255. @defaultValue white */
  readonly background: readonly [number, number, number];
}

/** What is done with pictures where nothing is said. */
export const DATASET_DEFAULTS: DatasetOptions = { crop: 'center', flip: false, background: [255, 255, 255] };

/** Squares drawn from each picture where the crop is random. */
const RANDOM_CROPS = 4;

/** One picture as training sees it: every square of it that may be shown. */
export interface TrainingPicture {
  /** Each `[1, 3, S, S]` in [-1, 1]. */
  readonly squares: readonly HostTensor[];
}

/**
 * Cuts pictures into squares of the model's size: the shorter side is resampled to `sizePx` as the reference does it, then a square is cut out.
 * A picture that has the size already keeps its pixels.
 * @throws IMAGE_NONE, IMAGE_FORMAT
 */
export function prepareDataset(
  pictures: readonly Picture[],
  sizePx: number,
  options: DatasetOptions,
  generator: Generator,
): TrainingPicture[] {
  if (pictures.length === 0) {
    throw new TextualInversionError('IMAGE_NONE', {
      where: 'images',
      expected: 'three to five pictures',
      found: 'none',
    });
  }
  return pictures.map((picture, i) => {
    const opaque = flatten(picture, options.background, `picture ${i + 1}`);
    const [height = 0, width = 0] = opaque.shape;
    const scale = sizePx / Math.min(height, width);
    const [h, w] = [Math.max(sizePx, Math.round(height * scale)), Math.max(sizePx, Math.round(width * scale))];
    const resized = h === height && w === width ? opaque : resizeBicubic(opaque, h, w);
    const corners: readonly (readonly [number, number])[] =
      options.crop === 'center'
        ? [[Math.floor((h - sizePx) / 2), Math.floor((w - sizePx) / 2)]]
        : Array.from({ length: RANDOM_CROPS }, () => [
            below(generator, h - sizePx + 1),
            below(generator, w - sizePx + 1),
          ]);
    const squares = corners.flatMap(([top, left]) => {
      const square = cut(resized, top, left, sizePx);
      return options.flip ? [square, mirrored(square)] : [square];
    });
    return { squares };
  });
}

/** A picture that is longer than this many times its width is none: its shorter side is what is made larger. */
const MAX_RATIO = 32;

/** Puts a picture with alpha onto a colour. @param where - For messages. @returns `[H, W, 3]` @throws IMAGE_FORMAT when it is no picture by its shape */
export function flatten(picture: Picture, background: readonly number[], where = 'a picture'): Picture {
  const [height = 0, width = 0, channels = 0] = picture.shape;
  if (height < 1 || width < 1 || (channels !== 3 && channels !== 4)) {
    throw new TextualInversionError('IMAGE_FORMAT', {
      where,
      expected: 'the shape [height, width, 3], or 4 with alpha',
      found: `[${picture.shape.join(', ')}]`,
    });
  }
  if (Math.max(height, width) > MAX_RATIO * Math.min(height, width)) {
    throw new TextualInversionError('IMAGE_FORMAT', {
      where,
      expected: `one that is at most ${MAX_RATIO} times as long as wide`,
      found: `${width} x ${height} pixels`,
      fix: 'Cut it.',
    });
  }
  if (channels === 3) return picture;
  const data = new Uint8Array(height * width * 3);
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const alpha = picture.get(y, x, 3) / 255;
      for (let c = 0; c < 3; c++)
        data[at++] = Math.round(picture.get(y, x, c) * alpha + (background[c] ?? 0) * (1 - alpha));
    }
  }
  return createPicture(data, [height, width, 3]);
}

function cut(picture: Picture, top: number, left: number, size: number): HostTensor {
  const data = new Float32Array(3 * size * size);
  for (let c = 0, at = 0; c < 3; c++)
    for (let y = 0; y < size; y++)
      for (let x = 0; x < size; x++) data[at++] = picture.get(top + y, left + x, c) / 127.5 - 1;
  return { data, shape: [1, 3, size, size] };
}

function mirrored({ data, shape }: HostTensor): HostTensor {
  const width = shape[3] ?? 1;
  return { data: data.map((_, i) => data[i - (i % width) + width - 1 - (i % width)] ?? 0), shape };
}

function below(generator: Generator, limit: number): number {
  return generator.integers(0, limit, 1)[0] ?? 0;
}
