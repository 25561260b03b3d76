import { createPicture } from '../picture.js';
import type { Picture } from '../platform.js';

/** Keys' free parameter; Pillow's choice. */
const A = -0.5;
/** Source pixels that the kernel reaches to each side, at a scale of 1. */
const REACH = 2;

/**
 * Resamples a picture as Pillow does with `BICUBIC`, which CLIP was trained and is judged with: the kernel widens as the picture shrinks, and
 * the picture is rounded to 8 bits after each direction.
 * @param picture - `[H, W, C]`
 * @see Keys 1981, "Cubic convolution interpolation for digital image processing"; Pillow, src/libImaging/Resample.c
 */
export function resizeBicubic(picture: Picture, height: number, width: number): Picture {
  const [oldHeight = 0, oldWidth = 0, channels = 0] = picture.shape;
  const across = new Uint8ClampedArray(oldHeight * width * channels);
  const columns = taps(oldWidth, width);
  for (let y = 0, at = 0; y < oldHeight; y++)
    for (const { first, weights } of columns)
      for (let c = 0; c < channels; c++)
        across[at++] = half(weights.reduce((sum, weight, k) => sum + weight * picture.get(y, first + k, c), 0));
  const down = new Uint8ClampedArray(height * width * channels);
  const stride = width * channels;
  for (const [y, { first, weights }] of taps(oldHeight, height).entries())
    for (let x = 0; x < stride; x++)
      down[y * stride + x] = half(
        weights.reduce((sum, weight, k) => sum + weight * (across[(first + k) * stride + x] ?? 0), 0),
      );
  return createPicture(new Uint8Array(down.buffer), [height, width, channels]);
}

/** Pillow rounds halves up; a clamped array on its own rounds them to even. */
function half(value: number): number {
  return Math.floor(value + 0.5);
}

/** For each new pixel, which old ones it is made of. */
function taps(from: number, to: number): { first: number; weights: number[] }[] {
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
