import { readFile } from 'node:fs/promises';
import { extname, join, parse } from 'node:path';
import {
  type InvertOptions as CoreOptions,
  type InvertHooks,
  invert as learn,
  type Picture,
  TextualInversionError,
} from '@textual-inversion/core';
import { type SavableConcept, savable } from './concepts.js';
import { openFile } from './files.js';
import type { LoadedModel } from './models.js';
import { type Images, listPictures, readPictures } from './pictures.js';

/** Core's options and hooks, with pictures, captions and the checkpoint as files. */
export interface InvertOptions extends Omit<CoreOptions, 'resume' | 'captions'>, InvertHooks {
  readonly model: LoadedModel;
  /** Files, or the folder they are in; or pictures that are decoded already. */
  readonly images: Images;
  /** A folder with a text file per picture (`cat.png`: `cat.txt`), or one caption per picture. */
  readonly captions?: string | readonly (string | undefined)[];
  /** A checkpoint to go on from. */
  readonly resume?: string;
}

/**
 * Learns a new word from three to five pictures.
 * @throws IMAGE_NONE, IMAGE_FORMAT, IMAGE_CORRUPT, IMAGE_TOO_LARGE and what core's `invert` throws
 */
export async function invert({
  model,
  images,
  captions,
  resume,
  signal,
  onStep,
  onEncode,
  onCheckpoint,
  onWarning,
  ...options
}: InvertOptions): Promise<SavableConcept> {
  const files = typeof images === 'string' ? await listPictures(images) : images;
  const pictures = await readPictures(files);
  const concept = await learn(
    model,
    pictures,
    {
      ...options,
      captions: typeof captions === 'string' ? await readCaptions(captions, files) : captions,
      resume: resume === undefined ? undefined : await openCheckpoint(resume),
    },
    {
      signal,
      onStep,
      onEncode,
      onCheckpoint,
      onWarning: onWarning ?? ((message) => process.emitWarning(message, 'TextualInversionWarning')),
    },
  );
  return savable(concept);
}

async function readCaptions(folder: string, images: readonly (string | Picture)[]): Promise<(string | undefined)[]> {
  const captions = await Promise.all(
    images.map(async (image) =>
      typeof image === 'string' && extname(image)
        ? readFile(join(folder, `${parse(image).name}.txt`), 'utf8').then(
            (text) => text.trim() || undefined,
            () => undefined,
          )
        : undefined,
    ),
  );
  if (captions.every((caption) => caption === undefined)) {
    throw new TextualInversionError('OPTION_INVALID', {
      where: 'captions',
      expected: 'a folder with a .txt for the pictures, named like them',
      found: `none in ${folder}`,
    });
  }
  return captions;
}

async function openCheckpoint(path: string) {
  const source = await openFile(path);
  if (source) return source;
  throw new TextualInversionError('CHECKPOINT_CORRUPT', {
    where: path,
    expected: 'a checkpoint',
    found: 'no such file',
  });
}
