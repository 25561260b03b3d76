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

/** Pixels row by row without gaps; not copied where they lie so already. */
export function packed(picture: Picture): Uint8Array {
  const [height = 0, width = 0, channels = 3] = picture.shape;
  const length = height * width * channels;
  const [rowStride, columnStride, channelStride] = picture.stride;
  if (rowStride === width * channels && columnStride === channels && channelStride === 1)
    return picture.data.subarray(picture.offset, picture.offset + length);
  const data = new Uint8Array(length);
  for (let y = 0, at = 0; y < height; y++)
    for (let x = 0; x < width; x++) for (let c = 0; c < channels; c++) data[at++] = picture.get(y, x, c);
  return data;
}
