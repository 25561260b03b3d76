import { type Concept, checkConcept } from '@textual-inversion/core';
import { openVocabularies } from './models.js';

/** A word of a vocabulary and how nearly its row points the same way. */
export interface NearWord {
  readonly word: string;
  readonly similarity: number;
}

const WORDS = 5;

/**
 * The words of a model's (first) text encoder that are nearest to each row of a concept.
 * @throws CONCEPT_WIDTH; what `inspectModel` throws
 */
export async function nearestWords(modelName: string, concept: Concept): Promise<NearWord[][]> {
  const vocabularies = await openVocabularies(modelName);
  checkConcept(
    concept,
    vocabularies.map(({ table }) => table.width),
  );
  const [vocabulary] = vocabularies;
  const [rows] = concept.rows;
  if (!rows || !vocabulary) return [];
  const [vectors = 0, width = 0] = rows.shape;
  const found: NearWord[][] = [];
  for (let v = 0; v < vectors; v++) {
    const near = await vocabulary.table.nearest(rows.data.subarray(v * width, (v + 1) * width), WORDS);
    found.push(near.map(({ id, similarity }) => ({ word: vocabulary.tokenizer.wordOf(id), similarity })));
  }
  return found;
}
