import { resizeBicubic } from '../bicubic.js';
import { ForeignConfig } from '../models/foreign-config.js';
import type { HostTensor, Picture } from '../platform.js';
import { flatten } from '../training/dataset.js';

/** How a picture becomes what CLIP's picture encoder takes. */
export interface ClipPreprocessing {
  /** The shorter side is resampled to this. */
  readonly shortestPx: number;
  /** Then the middle of this size is cut out. */
  readonly cropPx: number;
  readonly mean: readonly number[];
  readonly deviation: readonly number[];
}

const BICUBIC = 3;
const WHITE = [255, 255, 255];
/** Of the pictures that OpenAI's CLIP was trained on. */
const MEAN = [0.48145466, 0.4578275, 0.40821073];
const DEVIATION = [0.26862954, 0.26130258, 0.27577711];

/** Reads a `preprocessor_config.json` of transformers' CLIPImageProcessor, of any age. @throws MODEL_CONFIG, MODEL_UNSUPPORTED */
export function readClipPreprocessing(json: unknown, where: string): ClipPreprocessing {
  const config = new ForeignConfig(where, json);
  config.only({
    resample: BICUBIC,
    do_resize: true,
    do_center_crop: true,
    do_normalize: true,
    do_rescale: true,
    rescale_factor: 1 / 255,
  });
  const three = (key: string, fallback: readonly number[]): readonly number[] => {
    const value = config.value(key) ?? fallback;
    if (Array.isArray(value) && value.length === 3 && value.every(Number.isFinite)) return value;
    throw config.wrong(key, 'three numbers', value);
  };
  return {
    shortestPx: side(config, 'size', ['shortest_edge']),
    cropPx: side(config, 'crop_size', ['height', 'width']),
    mean: three('image_mean', MEAN),
    deviation: three('image_std', DEVIATION),
  };
}

/** A number in old files, an object in newer ones. */
function side(config: ForeignConfig, key: string, names: readonly string[]): number {
  const value = config.value(key);
  if (value === undefined || typeof value === 'number') return config.count(key, 224);
  const sides = names.map((name) => config.below(key).count(name));
  if (sides.some((each) => each !== sides[0])) throw config.unsupported(key, 'a square', value);
  return sides[0] ?? 224;
}

/** @returns `[1, 3, S, S]` */
export function toClipPixels(picture: Picture, { shortestPx, cropPx, mean, deviation }: ClipPreprocessing): HostTensor {
  const opaque = flatten(picture, WHITE);
  const [height = 0, width = 0] = opaque.shape;
  const shorter = Math.min(height, width);
  const [h, w] = [Math.floor((height * shortestPx) / shorter), Math.floor((width * shortestPx) / shorter)];
  const resized = h === height && w === width ? opaque : resizeBicubic(opaque, h, w);
  const [top, left] = [Math.floor((h - cropPx) / 2), Math.floor((w - cropPx) / 2)];
  const data = new Float32Array(3 * cropPx * cropPx);
  let at = 0;
  for (let c = 0; c < 3; c++)
    for (let y = 0; y < cropPx; y++)
      for (let x = 0; x < cropPx; x++)
        data[at++] = (pixel(resized, top + y, left + x, c) / 255 - (mean[c] ?? 0)) / (deviation[c] ?? 1);
  return { data, shape: [1, 3, cropPx, cropPx] };
}

/** Beyond the edges, where a crop is larger than the picture, all is black. */
function pixel(picture: Picture, y: number, x: number, c: number): number {
  const [height = 0, width = 0] = picture.shape;
  return y >= 0 && x >= 0 && y < height && x < width ? picture.get(y, x, c) : 0;
}
