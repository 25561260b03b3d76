import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { decode } from 'fast-png';
import ndarray from 'ndarray';
import sharp, { type Sharp } from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { hollowPng } from '../../../tests/support/hollow-png.js';
import { codec, enlarge, listPictures, readPictures, thumbnailPng } from './pictures.js';

/** Red left of blue, 2 x 1 pixels. */
const RED_BLUE = Buffer.from([255, 0, 0, 0, 0, 255]);
const raw = { width: 2, height: 1, channels: 3 } as const;
const bytes = async (image: Sharp) => new Uint8Array(await image.toBuffer());
const pixels = async (file: Uint8Array) => {
  const { data, shape } = await codec.decode(file, 'a picture');
  return { data: [...data], shape };
};

describe('decoding', () => {
  it('turns a picture the way its EXIF says', async () => {
    const turned = sharp(RED_BLUE, { raw }).withMetadata({ orientation: 6 }).png();
    expect(await pixels(await bytes(turned))).toEqual({ data: [255, 0, 0, 0, 0, 255], shape: [2, 1, 3] });
  });

  it('keeps alpha, and gives grey three channels', async () => {
    const clear = sharp(Buffer.from([9, 8, 7, 100]), { raw: { width: 1, height: 1, channels: 4 } }).png();
    expect(await pixels(await bytes(clear))).toEqual({ data: [9, 8, 7, 100], shape: [1, 1, 4] });
    const grey = sharp(RED_BLUE, { raw }).greyscale().png();
    expect((await pixels(await bytes(grey))).shape).toEqual([1, 2, 3]);
    const both = sharp(Buffer.from([50, 60]), { raw: { width: 1, height: 1, channels: 2 } }).png();
    expect(await pixels(await bytes(both))).toEqual({ data: [50, 50, 50, 60], shape: [1, 1, 4] });
  });

  it('brings 16 bits and CMYK to 8-bit sRGB', async () => {
    const deep = sharp(RED_BLUE, { raw }).toColourspace('rgb16').png();
    expect((await pixels(await bytes(deep))).data).toEqual([...RED_BLUE]);
    const printed = sharp({ create: { width: 8, height: 8, channels: 3, background: '#ff0000' } })
      .toColourspace('cmyk')
      .jpeg();
    const [r = 0, g = 0] = (await pixels(await bytes(printed))).data;
    expect(r).toBeGreaterThan(g + 100);
  });

  it('refuses what is no picture', async () => {
    await expect(codec.decode(Buffer.from('just words'), 'words.png')).rejects.toMatchObject({
      code: 'IMAGE_FORMAT',
      message: expect.stringContaining('words.png') as string,
    });
    await expect(codec.decode(new Uint8Array(), 'empty.png')).rejects.toMatchObject({ code: 'IMAGE_FORMAT' });
  });

  it('refuses a picture that is cut', async () => {
    const noise = Buffer.from(Array.from({ length: 64 * 64 * 3 }, (_, i) => (i * 7919) % 256));
    const jpeg = await bytes(sharp(noise, { raw: { width: 64, height: 64, channels: 3 } }).jpeg());
    const cut = jpeg.subarray(0, jpeg.length >> 1);
    await expect(codec.decode(cut, 'cut.jpg')).rejects.toMatchObject({ code: 'IMAGE_CORRUPT' });
  });

  it('refuses a picture that is too large before it decodes it', async () => {
    await expect(codec.decode(hollowPng(20_000, 20_000), 'huge.png')).rejects.toMatchObject({
      code: 'IMAGE_TOO_LARGE',
      message: expect.stringContaining('20000 x 20000') as string,
    });
  });

  it('refuses pictures that move', async () => {
    const frames = Buffer.alloc(4 * 8 * 3, 200).fill(10, 0, 48);
    const gif = sharp(frames, { raw: { width: 4, height: 8, channels: 3, pageHeight: 4 } }).gif();
    await expect(codec.decode(await bytes(gif), 'moving.gif')).rejects.toMatchObject({ code: 'IMAGE_FORMAT' });
  });
});

describe('encoding', () => {
  const picture = ndarray(new Uint8Array(RED_BLUE), [1, 2, 3]);

  it('gives back the same pixels', async () => {
    expect(await pixels(await codec.encodePng(picture))).toEqual({ data: [...RED_BLUE], shape: [1, 2, 3] });
    const turned = picture.transpose(1, 0, 2);
    expect((await pixels(await codec.encodePng(turned))).shape).toEqual([2, 1, 3]);
    const mirrored = picture.step(1, -1, 1);
    expect((await pixels(await codec.encodePng(mirrored))).data).toEqual([0, 0, 255, 255, 0, 0]);
  });

  it('keeps its settings as text, and escapes what a plain text chunk cannot hold', async () => {
    const parameters = 'a café in 東京\nSteps: 20, Sampler: ddim';
    const { text } = decode(await codec.encodePng(picture, { parameters }));
    expect(text).toEqual({ parameters: 'a café in \\u{6771}\\u{4eac}\nSteps: 20, Sampler: ddim' });
  });

  it('makes what is large small, and leaves what is small', async () => {
    const large = ndarray(
      new Uint8Array(300 * 900 * 4).map((_, i) => (i * 7919) % 256),
      [300, 900, 4],
    );
    expect((await pixels(await thumbnailPng(large, 90))).shape).toEqual([30, 90, 4]);
    expect(await thumbnailPng(picture, 3)).toEqual(await codec.encodePng(picture));
  });

  it('enlarges', () => {
    const large = enlarge(picture, 2);
    expect(large.shape).toEqual([2, 4, 3]);
    expect([...large.data.subarray(0, 12)]).toEqual([255, 0, 0, 255, 0, 0, 0, 0, 255, 0, 0, 255]);
  });
});

describe('a folder of pictures', () => {
  let folder = '';
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'ti-pictures-'));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  it('without one is refused', async () => {
    await expect(listPictures(folder)).rejects.toMatchObject({ code: 'IMAGE_NONE' });
    await expect(listPictures(join(folder, 'none'))).rejects.toMatchObject({ code: 'IMAGE_NONE' });
    await expect(readPictures([join(folder, 'none.png')])).rejects.toMatchObject({ code: 'IMAGE_NONE' });
  });

  it('is a list of paths and pictures, or is refused', async () => {
    for (const wrong of [undefined, 5, [Buffer.from('x')], ['a.png', null], [new URL('file:///a.png')]])
      await expect(readPictures(wrong as never)).rejects.toMatchObject({ code: 'OPTION_INVALID' });
  });

  it('passes folders by that are called like pictures', async () => {
    const png = await bytes(sharp(RED_BLUE, { raw }).png());
    await mkdir(join(folder, 'deep/trap.png'), { recursive: true });
    await writeFile(join(folder, 'deep/a.png'), png);
    expect(await listPictures(join(folder, 'deep'))).toEqual([join(folder, 'deep/a.png')]);
  });

  it('is read in the order a person would count', async () => {
    const png = await bytes(sharp(RED_BLUE, { raw }).png());
    for (const name of ['10.png', '2.PNG', '1.png', '.hidden.png', 'notes.txt'])
      await writeFile(join(folder, name), png);
    expect((await listPictures(folder)).map((path) => path.slice(folder.length + 1))).toEqual([
      '1.png',
      '2.PNG',
      '10.png',
    ]);
    expect(await readPictures(folder)).toHaveLength(3);
  });
});
