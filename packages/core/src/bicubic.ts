import { createPicture } from './picture.js';
import type { Picture } from './platform.js';

/** Keys' free parameter; Pillow's choice. */
const A = -0.5;
/** Source pixels that the kernel reaches to each side, at a scale of 1. */
const REACH = 2;

/**
 * Resamples a picture as Pillow does with `BICUBIC`, which the reference trains with, and which CLIP was trained and is judged with: the kernel widens
 * as the picture shrinks, and the picture is rounded to 8 bits after each direction.
 * @param picture - `[H, W, C]`, without alpha: colours under transparent pixels would shine through.
 * @see Keys 1981, "Cubic convolution interpolation for digital image processing"; Pillow, src/libImaging/Resample.c
 */
export function resizeBicubic(picture: Picture, height: number, width: number): Picture {
  const [oldHeight = 0, oldWidth = 0, channels = 0] = picture.shape;
  const [row = 0, column = 0, channel = 0] = picture.stride;
  const across = new Uint8ClampedArray(oldHeight * width * channels);
  const columns = taps(oldWidth, width);
  for (let y = 0; y < oldHeight; y++)
    for (let c = 0; c < channels; c++) {
      const from = { data: picture.data, start: picture.offset + y * row + c * channel, step: column };
      resampleLine(from, columns, { data: across, start: y * width * channels + c, step: channels });
    }
  const down = new Uint8ClampedArray(height * width * channels);
  const rows = taps(oldHeight, height);
  const step = width * channels;
  for (let start = 0; start < step; start++)
    resampleLine({ data: across, start, step }, rows, { data: down, start, step });
  return createPicture(new Uint8Array(down.buffer), [height, width, channels]);
}

/** Samples of a row or column. */
interface Line<Data> {
  readonly data: Data;
  readonly start: number;
  readonly step: number;
}

interface Taps {
  readonly first: number;
  readonly weights: readonly number[];
}

function resampleLine(from: Line<ArrayLike<number>>, taps: readonly Taps[], to: Line<Uint8ClampedArray>): void {
  let at = to.start;
  for (const { first, weights } of taps) {
    let sum = 0.5; // Pillow rounds halves up; a clamped array on its own rounds them to even
    let i = from.start + first * from.step;
    for (let k = 0; k < weights.length; k++, i += from.step) sum += (weights[k] ?? 0) * (from.data[i] ?? 0);
    to.data[at] = Math.floor(sum);
    at += to.step;
  }
}

/** For each new pixel, which old ones it is made of. */
function taps(from: number, to: number): Taps[] {
  const scale = from / to;
  const stretch = Math.max(1, scale);
  return Array.from({ length: to }, (_, i) => {
    const center = (i + 0.5) * scale;
    const first = Math.max(0, Math.floor(center - REACH * stretch + 0.5));
    const end = Math.min(from, Math.floor(center + REACH * stretch + 0.5));
    const raw = Array.from({ length: end - first }, (_, k) => cubic((first + k - center + 0.5) / stretch));
    const sum = raw.reduce((total, weight) => total + weight, 0);
    return { first, weights: raw.map((weight) => weight / sum) };
  });
}

function cubic(x: number): number {
  const t = Math.abs(x);
  if (t < 1) return ((A + 2) * t - (A + 3)) * t * t + 1;
  if (t < 2) return (((t - 5) * t + 8) * t - 4) * A;
  return 0;
}
