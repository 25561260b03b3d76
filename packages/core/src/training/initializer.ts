import { type Concept, checkConcept, vectorsOf } from '../concepts/concept.js';
import { TextualInversionError } from '../errors.js';
import type { TextEncoder } from '../models/diffusion-model.js';
import type { HostTensor } from '../platform.js';
import type { Generator } from '../random.js';

/**
 * Where a concept's rows start.
 * - a word or a phrase: the rows of its tokens, repeated in turn when there are more rows than tokens;
 * - another concept: its rows;
 * - `{ random: true }`: normal numbers with the mean and the deviation of the vocabulary.
 */
export type Initializer = string | Concept | { readonly random: true };

/**
 * Makes the first rows.
 * @param vectors - How many; by default 1, or as many as the concept has.
 * @throws INITIALIZER_INVALID, CONCEPT_WIDTH
 */
export async function initialRows(
  encoders: readonly TextEncoder[],
  initializer: Initializer,
  vectors: number | undefined,
  generator: Generator,
): Promise<HostTensor[]> {
  if (typeof initializer === 'string') {
    return Promise.all(encoders.map((encoder) => rowsOfWords(encoder, initializer, vectors ?? 1)));
  }
  if ('random' in initializer) {
    const rows: HostTensor[] = [];
    for (const { table } of encoders) {
      const { mean, deviation } = await table.statistics();
      const normals = generator.normal((vectors ?? 1) * table.width);
      const data = normals.map(
        (normal, i) => (mean[i % table.width] ?? 0) + (deviation[i % table.width] ?? 0) * normal,
      );
      rows.push({ data, shape: [vectors ?? 1, table.width] });
    }
    return rows;
  }
  checkConcept(
    initializer,
    encoders.map(({ table }) => table.width),
  );
  const count = vectors ?? vectorsOf(initializer);
  return initializer.rows.map(({ data, shape: [rows = 1, width = 0] }) => repeated(data, rows, width, count));
}

async function rowsOfWords({ tokenizer, table }: TextEncoder, words: string, vectors: number): Promise<HostTensor> {
  const ids = tokenizer.encode(words);
  if (ids.length === 0 || ids.length > vectors) {
    throw new TextualInversionError('INITIALIZER_INVALID', {
      where: 'initializer',
      expected: vectors === 1 ? 'a word that is one token' : `a phrase of at most ${vectors} tokens`,
      found: `${JSON.stringify(words)}, which is ${ids.length}${ids.length ? `: ${ids.map((id) => tokenizer.wordOf(id)).join(' + ')}` : ''}`,
      fix: ids.length
        ? `Take a plainer word, or ${ids.length} vectors.`
        : 'Take a word that says roughly what the pictures show.',
    });
  }
  return repeated(await table.rows(ids), ids.length, table.width, vectors);
}

function repeated(data: Float32Array, rows: number, width: number, count: number): HostTensor {
  const out = new Float32Array(count * width);
  for (let v = 0; v < count; v++) out.set(data.subarray((v % rows) * width, ((v % rows) + 1) * width), v * width);
  return { data: out, shape: [count, width] };
}
