import { extname } from 'node:path';
import { type Concept, pairConcepts, readConcept, TextualInversionError, writeConcept } from '@textual-inversion/core';
import { openFile, type WriteOptions, writeFileSafely } from './files.js';

/** How a concept is written. */
export interface SaveConceptOptions extends WriteOptions {
  /** One of `CONCEPT_FORMATS`. @defaultValue `sdxl` for two encoders, `a1111` for `.pt`, otherwise `diffusers` */
  readonly format?: string;
}

/** A concept that can be saved. */
export interface SavableConcept extends Concept {
  /** Writes the concept's file. @throws OUTPUT_EXISTS, OUTPUT_FAILED, OPTION_INVALID, CONCEPT_WIDTH */
  save(path: string, options?: SaveConceptOptions): Promise<void>;
}

/** Gives a concept its `save`. */
export function savable(concept: Concept): SavableConcept {
  return {
    ...concept,
    save: async (path, { format, ...options } = {}) =>
      writeFileSafely(path, writeConcept(concept, format, extname(path)), options),
  };
}

/**
 * Reads a concept in any format in use. Where diffusers' trainer for SDXL wrote two files, `learned_embeds` and `learned_embeds_2`,
 * the first stands for both.
 * @param token - The word for it, where the file does not name one or another is wanted.
 * @throws CONCEPT_FORMAT, CONCEPT_UNSAFE, CONCEPT_WIDTH (two files that do not belong together)
 */
export async function loadConcept(
  path: string,
  { token }: { token?: string } = {},
): Promise<SavableConcept & { readonly format: string }> {
  const source = await openFile(path);
  if (!source) {
    throw new TextualInversionError('CONCEPT_FORMAT', {
      where: path,
      expected: 'the file of a concept',
      found: 'no such file',
    });
  }
  const read = await readConcept(source, token);
  const second = await openFile(secondHalf(path));
  const concept = second ? pairConcepts(read.concept, (await readConcept(second, token)).concept) : read.concept;
  return { ...savable(token === undefined ? concept : { ...concept, token }), format: read.format };
}

/** `learned_embeds-steps-500.safetensors` -> `learned_embeds_2-steps-500.safetensors`; of any other name, a path that is none. */
function secondHalf(path: string): string {
  const name = /^(.*[\\/])?learned_embeds((?:-steps-\d+)?\.\w+)$/.exec(path);
  return name ? `${name[1] ?? ''}learned_embeds_2${name[2] ?? ''}` : '';
}
