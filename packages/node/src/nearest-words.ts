import type { Concept } from '@textual-inversion/core';
import { loadModel } from './models.js';

/** A word of a vocabulary and how nearly its row points the same way. */
export interface NearWord {
  readonly word: string;
  readonly similarity: number;
}

const WORDS = 5;

/** The words of a model's (first) text encoder that are nearest to each row of a concept. @throws what `loadModel` throws */
export async function nearestWords(modelName: string, { rows: [rows] }: Concept): Promise<NearWord[][]> {
  const model = await loadModel(modelName, { backend: 'cpu' });
  try {
    const [encoder] = model.textEncoders;
    if (!rows || !encoder) return [];
    const [vectors = 0, width = 0] = rows.shape;
    const found: NearWord[][] = [];
    for (let v = 0; v < vectors; v++) {
      const near = await encoder.table.nearest(rows.data.subarray(v * width, (v + 1) * width), WORDS);
      found.push(near.map(({ id, similarity }) => ({ word: encoder.tokenizer.wordOf(id), similarity })));
    }
    return found;
  } finally {
    model.dispose();
  }
}
