import {
  type EvaluateOptions as CoreOptions,
  type Evaluation,
  loadClip,
  evaluate as measure,
} from '@textual-inversion/core';
import { openFolder } from './files.js';
import type { LoadedModel } from './models.js';
import { type Images, readPictures } from './pictures.js';

/** Core's options, with pictures as files. */
export interface EvaluateOptions extends Omit<CoreOptions, 'pictures'> {
  readonly model: LoadedModel;
  /** Files, or the folder they are in; or pictures that are decoded already. */
  readonly images: Images;
  /** Folder of the CLIP that judges (transformers' `CLIPModel`). @defaultValue the model's own, which the embedded one has */
  readonly clip?: string;
}

/**
 * Measures a concept as its paper does.
 * @throws What core's `evaluate` and `loadClip` throw
 */
export async function evaluate({ model, images, clip, ...options }: EvaluateOptions): Promise<Evaluation> {
  const pictures = await readPictures(images);
  const judge = await loadClip(clip === undefined ? model.tree : await openFolder(clip), model.runtime, {
    signal: options.signal,
  });
  try {
    return await measure(model, judge, { ...options, pictures });
  } finally {
    judge.dispose();
  }
}
