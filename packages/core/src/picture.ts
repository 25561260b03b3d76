import type { Picture } from './platform.js';

/**
 * A picture over pixels that lie row by row, `[height, width, channels]`.
 *
 * The `ndarray` package makes its classes from text at run time, which a page with a content security policy forbids;
 * what is made here needs none of that, and `ndarray(p.data, p.shape, p.stride, p.offset)` turns it into one.
 */
export function createPicture(data: Uint8Array, [height, width, channels]: readonly [number, number, number]): Picture {
  return {
    data,
    shape: [height, width, channels],
    stride: [width * channels, channels, 1],
    offset: 0,
    get: (y, x, channel) => data[(y * width + x) * channels + channel] ?? 0,
  };
}
