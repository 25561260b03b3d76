import {
  type InvertOptions as CoreOptions,
  type InvertHooks,
  invert as learn,
  TextualInversionError,
} from '@textual-inversion/core';
import { type Captions, readCaptions } from './captions.js';
import { type SavableConcept, savable } from './concepts.js';
import { openFile } from './files.js';
import type { LoadedModel } from './models.js';
import { eachPicture, type Images, readPictures } from './pictures.js';
import { warnProcess } from './warn-process.js';

/** Core's options and hooks, with pictures, captions and the checkpoint as files. */
export interface InvertOptions extends Omit<CoreOptions, 'resume' | 'captions'>, InvertHooks {
  readonly model: LoadedModel;
  /** Files, or the folder they are in; or pictures that are decoded already. */
  readonly images: Images;
  /**
   * A folder with a text file per picture (`cat.png`: `cat.txt`), or one caption per picture, with `{}` for the word; `false` for none.
   * What a caption tells is not learned with the word. @defaultValue the text files beside the pictures, where there are some
   */
  readonly captions?: Captions;
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
  onWarning = warnProcess,
  ...options
}: InvertOptions): Promise<SavableConcept> {
  const files = await eachPicture(images);
  const pictures = await readPictures(files);
  const concept = await learn(
    model,
    pictures,
    {
      ...options,
      captions: await readCaptions(captions, files),
      resume: resume === undefined ? undefined : await openCheckpoint(resume),
    },
    {
      signal,
      onStep,
      onEncode,
      onCheckpoint,
      onWarning,
    },
  );
  return savable(concept);
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
