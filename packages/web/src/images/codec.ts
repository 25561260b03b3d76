import {
  createPicture,
  type ImageCodec,
  latin1,
  type Picture,
  packed,
  TextualInversionError,
} from '@textual-inversion/core';
import { encode } from 'fast-png';
import { isAnimated, isCut, sizeOf } from './headers.js';

/** More pixels than any camera has; refused before anything is decoded where the header tells. */
const MAX_PIXELS = 100_000_000;
/** Up to these many, colours under alpha are read exactly. */
const PRECISE_PIXELS = 25_000_000;

/** Pictures through the browser's own decoders; the same pixels as in Node within 2 of 255. */
export const codec: ImageCodec = {
  async decode(bytes, name) {
    if (bytes.length === 0) throw wrong('IMAGE_FORMAT', name, 'a picture', 'an empty file');
    if (isAnimated(bytes)) throw wrong('IMAGE_FORMAT', name, 'a still picture', 'one with several frames');
    if (isCut(bytes)) throw wrong('IMAGE_CORRUPT', name, 'a whole picture', 'one that is cut off');
    const size = sizeOf(bytes);
    if (size) checkSize(name, size.width, size.height);
    const bitmap = await createImageBitmap(new Blob([new Uint8Array(bytes)]), {
      imageOrientation: 'from-image',
      premultiplyAlpha: 'none',
    }).catch((cause: unknown) => {
      throw size
        ? wrong('IMAGE_CORRUPT', name, 'a whole picture', 'a damaged one', cause)
        : wrong(
            'IMAGE_FORMAT',
            name,
            'a picture that this browser reads (PNG, JPEG, WebP, AVIF or GIF)',
            'something else',
            cause,
          );
    });
    try {
      checkSize(name, bitmap.width, bitmap.height);
      return pictureOf(bitmap, name);
    } finally {
      bitmap.close();
    }
  },
  async encodePng(picture, text) {
    const [height = 0, width = 0, channels = 3] = picture.shape;
    return encode({ width, height, channels, depth: 8, data: packed(picture), text: text && latin1(text) });
  },
};

/** The pixels of something a canvas can draw, sRGB; without the alpha channel where all is opaque. */
export function pictureOf(bitmap: ImageBitmap, name: string): Picture {
  const { width, height } = bitmap;
  const settings: CanvasRenderingContext2DSettings & { colorType: string } = {
    colorSpace: 'srgb',
    // A canvas multiplies colours by alpha, which 8 bits do not survive; twice the memory is too much for the largest.
    colorType: width * height <= PRECISE_PIXELS ? 'float16' : 'unorm8',
    willReadFrequently: true,
  };
  const context = new OffscreenCanvas(width, height).getContext('2d', settings);
  if (!context) throw wrong('IMAGE_TOO_LARGE', name, 'a picture that fits a canvas', `${width} x ${height}`);
  context.drawImage(bitmap, 0, 0);
  return fromImageData(context.getImageData(0, 0, width, height));
}

export function fromImageData({ data, width, height }: ImageData): Picture {
  let opaque = true;
  for (let i = 3; i < data.length && opaque; i += 4) opaque = data[i] === 255;
  if (!opaque) return createPicture(new Uint8Array(data), [height, width, 4]);
  const rgb = new Uint8Array(width * height * 3);
  for (let i = 0, at = 0; i < data.length; i += 4) {
    rgb[at++] = data[i] ?? 0;
    rgb[at++] = data[i + 1] ?? 0;
    rgb[at++] = data[i + 2] ?? 0;
  }
  return createPicture(rgb, [height, width, 3]);
}

export function toImageData(picture: Picture): ImageData {
  const [height = 0, width = 0, channels = 3] = picture.shape;
  const data = packed(picture);
  const rgba = new Uint8ClampedArray(width * height * 4).fill(255);
  for (let i = 0; i < width * height; i++)
    for (let c = 0; c < channels; c++) rgba[i * 4 + c] = data[i * channels + c] ?? 0;
  return new ImageData(rgba, width, height);
}

function checkSize(name: string, width: number, height: number): void {
  if (width * height <= MAX_PIXELS) return;
  throw wrong('IMAGE_TOO_LARGE', name, `at most ${MAX_PIXELS / 1e6} million pixels`, `${width} x ${height}`);
}

function wrong(
  code: 'IMAGE_FORMAT' | 'IMAGE_CORRUPT' | 'IMAGE_TOO_LARGE',
  where: string,
  expected: string,
  found: string,
  cause?: unknown,
): TextualInversionError {
  return new TextualInversionError(code, { where, expected, found, cause });
}
