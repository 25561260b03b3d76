import { readdir, stat } from 'node:fs/promises';
import { extname, join } from 'node:path';
import { type ImageCodec, latin1, type Picture, packed, shown, TextualInversionError } from '@textual-inversion/core';
import { encode } from 'fast-png';
import ndarray from 'ndarray';
import sharp from 'sharp';
import { openFile } from './files.js';

/** Formats that are read, by the extensions of their files. */
export const PICTURE_EXTENSIONS = ['.png', '.jpg', '.jpeg', '.webp', '.avif', '.tif', '.tiff', '.gif'];
/** More pixels than any camera has; refused before anything is decoded. */
const MAX_PIXELS = 100_000_000;

/** Pictures through libvips. */
export const codec: ImageCodec = {
  async decode(bytes, name) {
    const wrong = (
      code: 'IMAGE_FORMAT' | 'IMAGE_CORRUPT' | 'IMAGE_TOO_LARGE',
      expected: string,
      found: string,
      cause?: unknown,
    ) => new TextualInversionError(code, { where: name, expected, found, cause });
    const formats = 'a picture (PNG, JPEG, WebP, AVIF, TIFF or GIF)';
    if (bytes.length === 0) throw wrong('IMAGE_FORMAT', formats, 'an empty file');
    const image = sharp(bytes, { limitInputPixels: false, failOn: 'truncated', animated: false });
    const info = await image.metadata().catch((cause: unknown) => {
      throw wrong('IMAGE_FORMAT', formats, 'something else', cause);
    });
    const { width, height, pages = 1, format } = info;
    if (width * height > MAX_PIXELS)
      throw wrong('IMAGE_TOO_LARGE', `at most ${MAX_PIXELS / 1e6} million pixels`, `${width} x ${height}`);
    if (pages > 1) throw wrong('IMAGE_FORMAT', 'a still picture', `${format} with ${pages} frames`);
    try {
      const upright = image.rotate().toColourspace('srgb');
      const { data, info: raw } = await (info.hasAlpha ? upright.ensureAlpha() : upright.removeAlpha())
        .raw({ depth: 'uchar' })
        .toBuffer({ resolveWithObject: true });
      return ndarray(new Uint8Array(data), [raw.height, raw.width, raw.channels]);
    } catch (cause) {
      throw wrong('IMAGE_CORRUPT', 'a whole picture', 'a damaged one', cause);
    }
  },
  async encodePng(picture, text) {
    const [height = 0, width = 0, channels = 3] = picture.shape;
    return encode({
      width,
      height,
      channels,
      depth: 8,
      data: packed(picture),
      text: text && latin1(text),
    });
  },
};

/** Reads and decodes a picture. @throws IMAGE_FORMAT, IMAGE_CORRUPT, IMAGE_TOO_LARGE, IMAGE_NONE */
export async function readPicture(path: string): Promise<Picture> {
  const file = await openFile(path);
  if (!file)
    throw new TextualInversionError('IMAGE_NONE', { where: path, expected: 'a picture', found: 'no such file' });
  return codec.decode(await file.read(0, file.size), path);
}

/** Pictures as callers give them: a folder, files, or decoded already. */
export type Images = string | readonly (string | Picture)[];

/** The pictures one by one, not decoded yet. @throws IMAGE_NONE, OPTION_INVALID for what is neither a path nor a picture */
export async function eachPicture(images: Images): Promise<readonly (string | Picture)[]> {
  if (typeof images === 'string') return listPictures(images);
  if (!Array.isArray(images)) throw noPictures(images);
  for (const image of images) if (typeof image !== 'string' && !isPicture(image)) throw noPictures(image);
  return images;
}

function isPicture(value: unknown): value is Picture {
  return typeof value === 'object' && value !== null && 'shape' in value && 'get' in value;
}

function noPictures(found: unknown): TextualInversionError {
  const expected = 'a folder, or a list of paths and decoded pictures';
  return new TextualInversionError('OPTION_INVALID', { where: 'images', expected, found: shown(found) });
}

/** Reads and decodes pictures, one after another: a camera's are large. @throws IMAGE_NONE, IMAGE_FORMAT, IMAGE_CORRUPT, IMAGE_TOO_LARGE */
export async function readPictures(images: Images): Promise<Picture[]> {
  const pictures: Picture[] = [];
  for (const image of await eachPicture(images))
    pictures.push(typeof image === 'string' ? await readPicture(image) : image);
  return pictures;
}

/** The pictures of a folder, in the order of their names. @throws IMAGE_NONE */
export async function listPictures(folder: string): Promise<string[]> {
  const info = await stat(folder).catch(() => undefined);
  const entries = info?.isDirectory() ? await readdir(folder, { withFileTypes: true }) : [];
  const pictures = entries
    .filter((entry) => !entry.isDirectory())
    .map(({ name }) => name)
    .filter((name) => PICTURE_EXTENSIONS.includes(extname(name).toLowerCase()) && !name.startsWith('.'));
  if (pictures.length === 0) {
    throw new TextualInversionError('IMAGE_NONE', {
      where: folder,
      expected: `a folder with pictures (${PICTURE_EXTENSIONS.join(', ')})`,
      found: info ? (info.isDirectory() ? 'one without' : 'a file') : 'nothing',
    });
  }
  return pictures.toSorted((a, b) => a.localeCompare(b, 'en', { numeric: true })).map((name) => join(folder, name));
}

/** A PNG of a picture, made smaller until neither side is longer than `sidePx`. */
export async function thumbnailPng(picture: Picture, sidePx: number): Promise<Uint8Array> {
  const [height = 0, width = 0, channels = 3] = picture.shape;
  if (Math.max(height, width) <= sidePx) return codec.encodePng(picture);
  const raw = { width, height, channels: channels === 4 ? (4 as const) : (3 as const) };
  return sharp(packed(picture), { raw, limitInputPixels: false })
    .resize({ width: sidePx, height: sidePx, fit: 'inside' })
    .png()
    .toBuffer();
}

/** Every pixel becomes a square of `factor` pixels with hard edges: how pixel art wants to be shown. */
export function enlarge(picture: Picture, factor: number): Picture {
  const [height = 0, width = 0, channels = 3] = picture.shape;
  const data = new Uint8Array(height * width * channels * factor * factor);
  let at = 0;
  for (let y = 0; y < height * factor; y++)
    for (let x = 0; x < width * factor; x++)
      for (let c = 0; c < channels; c++) data[at++] = picture.get(Math.floor(y / factor), Math.floor(x / factor), c);
  return ndarray(data, [height * factor, width * factor, channels]);
}
