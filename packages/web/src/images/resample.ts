import { createPicture, type Picture } from '@textual-inversion/core';

/**
 * Resamples to `[height, width]` with a widened Lanczos kernel when shrinking, as libvips does it, and a cubic one when enlarging: first the rows, rounded to
 * 8 bits between (so that ringing is cut off as there), then the columns.
 */
export function resample(picture: Picture, height: number, width: number): Picture {
  const [fromHeight = 0, fromWidth = 0, channels = 3] = picture.shape;
  const alpha = channels === 4;
  // Colour counts by its opacity, or the colour under transparent pixels would shine through.
  const source = new Float32Array(fromHeight * fromWidth * channels);
  for (let y = 0, at = 0; y < fromHeight; y++)
    for (let x = 0; x < fromWidth; x++) {
      const opacity = alpha ? picture.get(y, x, 3) / 255 : 1;
      for (let c = 0; c < channels; c++) source[at++] = picture.get(y, x, c) * (c === 3 ? 1 : opacity);
    }
  const row = fromWidth * channels;
  const low = alpha ? new Float32Array(height * row) : new Uint8ClampedArray(height * row);
  weightsOf(fromHeight, height).forEach(({ first, weights }, y) => {
    for (let i = 0; i < row; i++) low[y * row + i] = weighted(source, first * row + i, row, weights);
  });
  const size = height * width * channels;
  const data = alpha ? new Float32Array(size) : new Uint8ClampedArray(size);
  weightsOf(fromWidth, width).forEach(({ first, weights }, x) => {
    for (let y = 0; y < height; y++)
      for (let c = 0; c < channels; c++)
        data[(y * width + x) * channels + c] = weighted(low, y * row + first * channels + c, channels, weights);
  });
  if (alpha) {
    for (let i = 0; i < data.length; i += 4)
      for (let c = 0; c < 3; c++) data[i + c] = ((data[i + c] ?? 0) * 255) / (data[i + 3] || 255);
  }
  return createPicture(new Uint8Array(Uint8ClampedArray.from(data)), [height, width, channels]);
}

/** Sum of every `step`-th number from `at` on, by weight. */
function weighted(from: ArrayLike<number>, at: number, step: number, weights: readonly number[]): number {
  let sum = 0;
  for (let i = 0; i < weights.length; i++) sum += (weights[i] ?? 0) * (from[at + i * step] ?? 0);
  return sum;
}

interface Weights {
  readonly first: number;
  readonly weights: readonly number[];
}

/** Per sample of the new grid, which old samples count and how much; what lies outside counts as the border. */
function weightsOf(from: number, to: number): Weights[] {
  const scale = from / to;
  const width = Math.max(1, scale);
  const { kernel, lobes } = scale > 1 ? LANCZOS : CATMULL_ROM;
  return Array.from({ length: to }, (_, i) => {
    const centre = (i + 0.5) * scale - 0.5;
    const [low, high] = [Math.ceil(centre - lobes * width), Math.floor(centre + lobes * width)];
    const first = Math.min(from - 1, Math.max(0, low));
    const weights = new Array<number>(Math.max(first, Math.min(from - 1, high)) - first + 1).fill(0);
    let sum = 0;
    for (let at = low; at <= high; at++) {
      const weight = kernel((at - centre) / width);
      const inside = Math.min(from - 1, Math.max(0, at)) - first;
      weights[inside] = (weights[inside] ?? 0) + weight;
      sum += weight;
    }
    return { first, weights: weights.map((weight) => weight / sum) };
  });
}

interface Kernel {
  readonly kernel: (x: number) => number;
  /** Half-width, in samples of the coarser of both grids. */
  readonly lobes: number;
}

const LANCZOS: Kernel = {
  lobes: 3,
  kernel: (x) => {
    if (x === 0) return 1;
    if (Math.abs(x) >= 3) return 0;
    const angle = Math.PI * x;
    return (3 * Math.sin(angle) * Math.sin(angle / 3)) / (angle * angle);
  },
};

/** Softer than Lanczos at hard edges, whose ringing shows when enlarging. */
const CATMULL_ROM: Kernel = {
  lobes: 2,
  kernel: (signed) => {
    const x = Math.abs(signed);
    if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
    return x < 2 ? ((-0.5 * x + 2.5) * x - 4) * x + 2 : 0;
  },
};
