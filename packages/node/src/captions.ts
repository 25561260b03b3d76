import { readFile } from 'node:fs/promises';
import { dirname, extname, join, parse } from 'node:path';
import { type Picture, TextualInversionError } from '@textual-inversion/core';

/** Where captions come from: a folder, a list with one per picture, or `false` for none. */
export type Captions = string | readonly (string | undefined)[] | false;

/**
 * One caption per picture, `undefined` for a picture without one: `cat.txt` for `cat.png`.
 * @param captions - Without it, the text files beside the pictures.
 * @throws OPTION_INVALID when a folder is named and has none
 */
export async function readCaptions(
  captions: Captions | undefined,
  images: readonly (string | Picture)[],
): Promise<readonly (string | undefined)[]> {
  if (captions === false) return [];
  if (typeof captions === 'object') return captions;
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
  const path = join(folder ?? dirname(image), `${parse(image).name}.txt`);
  const text = await readFile(path, 'utf8').catch(() => '');
  return text.trim() || undefined;
}
