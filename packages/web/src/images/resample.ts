import { createPicture, type Picture } from '@textual-inversion/core';

/** Half-width of the kernel, in samples of the coarser of both grids. */
const LOBES = 3;

/** Resamples to `[height, width]` with the Lanczos kernel, widened when shrinking, as libvips does it. */
export function resample(picture: Picture, height: number, width: number): Picture {
  const [fromHeight = 0, fromWidth = 0, channels = 3] = picture.shape;
  const columns = weightsOf(fromWidth, width);
  const rows = weightsOf(fromHeight, height);
  const alpha = channels === 4;
  // Colour counts by its opacity, or the colour under transparent pixels would shine through.
  const source = new Float32Array(fromHeight * fromWidth * channels);
  for (let y = 0, at = 0; y < fromHeight; y++)
    for (let x = 0; x < fromWidth; x++) {
      const opacity = alpha ? picture.get(y, x, 3) / 255 : 1;
      for (let c = 0; c < channels; c++) source[at++] = picture.get(y, x, c) * (c === 3 ? 1 : opacity);
    }
  const wide = new Float32Array(fromHeight * width * channels);
  for (let y = 0; y < fromHeight; y++)
    for (let x = 0; x < width; x++) {
      const { first, weights } = columns[x] ?? NOTHING;
      for (let c = 0; c < channels; c++) {
        let sum = 0;
        for (let i = 0; i < weights.length; i++)
          sum += (weights[i] ?? 0) * (source[(y * fromWidth + first + i) * channels + c] ?? 0);
        wide[(y * width + x) * channels + c] = sum;
      }
    }
  const data = new Uint8ClampedArray(height * width * channels);
  const pixel = new Float32Array(channels);
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++) {
      const { first, weights } = rows[y] ?? NOTHING;
      pixel.fill(0);
      for (let i = 0; i < weights.length; i++)
        for (let c = 0; c < channels; c++)
          pixel[c] = (pixel[c] ?? 0) + (weights[i] ?? 0) * (wide[((first + i) * width + x) * channels + c] ?? 0);
      const opacity = alpha ? (pixel[3] ?? 0) / 255 : 1;
      for (let c = 0; c < channels; c++)
        data[(y * width + x) * channels + c] = c === 3 ? (pixel[c] ?? 0) : (pixel[c] ?? 0) / (opacity || 1);
    }
  return createPicture(new Uint8Array(data.buffer), [height, width, channels]);
}

interface Weights {
  readonly first: number;
  readonly weights: readonly number[];
}

const NOTHING: Weights = { first: 0, weights: [] };

/** Per sample of the new grid, which old samples count and how much; what lies outside counts as the border. */
function weightsOf(from: number, to: number): Weights[] {
  const scale = from / to;
  const width = Math.max(1, scale);
  return Array.from({ length: to }, (_, i) => {
    const centre = (i + 0.5) * scale - 0.5;
    const [low, high] = [Math.ceil(centre - LOBES * width), Math.floor(centre + LOBES * width)];
    const first = Math.max(0, low);
    const weights = new Array<number>(Math.min(from - 1, high) - first + 1).fill(0);
    let sum = 0;
    for (let at = low; at <= high; at++) {
      const weight = lanczos((at - centre) / width);
      const inside = Math.min(from - 1, Math.max(0, at)) - first;
      weights[inside] = (weights[inside] ?? 0) + weight;
      sum += weight;
    }
    return { first, weights: weights.map((weight) => weight / sum) };
  });
}

function lanczos(x: number): number {
  if (x === 0) return 1;
  if (Math.abs(x) >= LOBES) return 0;
  const angle = Math.PI * x;
  return (LOBES * Math.sin(angle) * Math.sin(angle / LOBES)) / (angle * angle);
}
