import {
  CONCEPT_FORMATS,
  type Concept,
  readConcept,
  TextualInversionError,
  writeConcept,
} from '@textual-inversion/core';
import { openFile, type WriteOptions, writeFileSafely } from './files.js';

export interface SaveConceptOptions extends WriteOptions {
  /** One of `CONCEPT_FORMATS`. @defaultValue by the extension: `.pt` is a1111, `.bin` diffusers-bin, anything else diffusers or sdxl */
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
    save: async (path, { format = formatOf(path, concept), ...options } = {}) =>
      writeFileSafely(path, writeConcept(concept, format), options),
  };
}

/**
 * Reads a concept in any format in use.
 * @param token - The word for it, where the file does not name one or another is wanted.
 * @throws CONCEPT_FORMAT, CONCEPT_UNSAFE
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
  const { concept, format } = await readConcept(source, token);
  return { ...savable(token === undefined ? concept : { ...concept, token }), format };
}

function formatOf(path: string, { rows }: Concept): string | undefined {
  const fits = CONCEPT_FORMATS.filter(({ encoders }) => encoders === rows.length);
  return fits.find(
    ({ extension, name }) => name !== 'compvis' && path.endsWith(extension) && extension !== '.safetensors',
  )?.name;
}
