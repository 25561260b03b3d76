import { createPicture, type Picture, packed, TextualInversionError } from '@textual-inversion/core';
import { failed } from '../files/remote.js';
import { codec, fromImageData, pictureOf } from './codec.js';

/** Pixels as they cross to a worker: 8-bit sRGB, row-major, shape `[height, width, 3 or 4]`. */
export interface PixelData {
  readonly data: Uint8Array;
  readonly shape: readonly [height: number, width: number, channels: number];
}

/** Everything that is taken for a picture; a string is an address. */
export type PictureInput = Blob | ImageBitmap | ImageData | string | URL | Picture;

/** A picture as it can be sent to a worker. */
export type SentPicture = Blob | ImageBitmap | ImageData | string | PixelData;

/** Makes a picture ready to be sent. */
export function toSent(input: PictureInput): SentPicture {
  if (input instanceof URL) return input.href;
  if (typeof input === 'string') return new URL(input, location.href).href;
  if (input instanceof Blob || input instanceof ImageBitmap || input instanceof ImageData) return input;
  return toPixelData(input);
}

export function toPixelData(picture: Picture): PixelData {
  const [height = 0, width = 0, channels = 3] = picture.shape;
  return { data: packed(picture), shape: [height, width, channels] };
}

export function fromPixelData({ data, shape }: PixelData): Picture {
  return createPicture(data, shape);
}

/** @throws IMAGE_FORMAT, IMAGE_CORRUPT, IMAGE_TOO_LARGE, DOWNLOAD_FAILED */
export async function readPicture(input: SentPicture, index: number): Promise<Picture> {
  const name = input instanceof File ? input.name : typeof input === 'string' ? input : `picture ${index + 1}`;
  if (input instanceof Blob) {
    const bytes = await input.arrayBuffer().catch((cause: unknown) => {
      throw new TextualInversionError('IMAGE_CORRUPT', {
        where: name,
        expected: 'a file',
        found: 'one that cannot be read',
        cause,
      });
    });
    return codec.decode(new Uint8Array(bytes), name);
  }
  if (input instanceof ImageData) return fromImageData(input);
  if (input instanceof ImageBitmap) return pictureOf(input, name);
  if (typeof input !== 'string') return fromPixelData(input);
  const response = await fetch(input).catch((cause: unknown) => {
    throw failed(input, 'a picture', 'no answer', undefined, cause);
  });
  if (!response.ok) throw failed(input, 'a picture', `status ${response.status}`);
  return codec.decode(new Uint8Array(await response.arrayBuffer()), name);
}
