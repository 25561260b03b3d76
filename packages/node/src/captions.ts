import { readdir, readFile } from 'node:fs/promises';
import { dirname, extname, join, parse } from 'node:path';
import { type Picture, TextualInversionError } from '@textual-inversion/core';

/** Where captions come from: a folder, a list with one per picture, or `false` for none. */
export type Captions = string | readonly (string | undefined)[] | false;

/**
 * One caption per picture, `undefined` for a picture without one: `cat.txt` for `cat.png`.
 * @param captions - Without it, the text files beside the pictures.
 * @throws OPTION_INVALID when a folder is named and has none, a list is longer than the pictures, or a file is no text
 */
export async function readCaptions(
  captions: Captions | undefined,
  images: readonly (string | Picture)[],
): Promise<readonly (string | undefined)[]> {
  if (captions === false) return [];
  if (typeof captions === 'object') {
    if (captions.length <= images.length) return captions;
    throw new TextualInversionError('OPTION_INVALID', {
      where: 'captions',
      expected: `no more than there are pictures: ${images.length}`,
      found: String(captions.length),
    });
  }
  const found = await Promise.all(images.map((image) => readCaption(image, captions)));
  if (captions !== undefined && found.every((caption) => caption === undefined)) {
    throw new TextualInversionError('OPTION_INVALID', {
      where: 'captions',
      expected: 'a folder with a .txt for the pictures, named like them',
      found: `none in ${captions}`,
    });
  }
  return found;
}

async function readCaption(image: string | Picture, folder?: string): Promise<string | undefined> {
  if (typeof image !== 'string' || !extname(image)) return undefined;
  const place = folder ?? dirname(image);
  const names = await readdir(place).catch((): string[] => []);
  const wanted = `${parse(image).name}.txt`.toLowerCase();
  const name = names.find((each) => each.toLowerCase() === wanted);
  if (name === undefined) return undefined;
  const path = join(place, name);
  return decoded(await readFile(path), path).trim() || undefined;
}

/** Text in UTF-8, or in UTF-16 with a mark at its start, as some editors of Windows write it. */
function decoded(bytes: Uint8Array, path: string): string {
  const [first, second] = bytes;
  const encoding =
    first === 0xff && second === 0xfe ? 'utf-16le' : first === 0xfe && second === 0xff ? 'utf-16be' : 'utf-8';
  try {
    return new TextDecoder(encoding, { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new TextualInversionError('OPTION_INVALID', {
      where: path,
      expected: 'a caption in UTF-8',
      found: 'another encoding',
      fix: 'Save it as UTF-8.',
      cause,
    });
  }
}
