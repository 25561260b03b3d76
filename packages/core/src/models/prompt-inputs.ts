import { type Concept, checkConcept, vectorsOf } from '../concepts/concept.js';
import { TextualInversionError } from '../errors.js';
import { shown } from '../options.js';
import type { HostTensor } from '../platform.js';
import { tokenizePrompt } from '../tokenizers/prompt.js';
import type { TextEncoder } from './diffusion-model.js';

export interface PreparedPrompts {
  /** `rows.I`, `embedded.I`, `slots.I`, `ends.I` for each encoder `I`: see `PromptInputs`. */
  readonly inputs: Record<string, HostTensor>;
  /** What a person should know, such as that a prompt was cut. Each once. */
  readonly warnings: readonly string[];
}

/**
 * Turns prompts into the numbers that the text encoders start from.
 * @param concepts - Words that the prompts may hold; the rows of all of them, one after another, are `rows.I`.
 * @throws CONCEPT_WIDTH, PROMPT_TOO_LONG
 */
export async function preparePrompts(
  encoders: readonly TextEncoder[],
  prompts: readonly string[],
  concepts: readonly Concept[],
): Promise<PreparedPrompts> {
  if (!Array.isArray(concepts)) {
    throw new TextualInversionError('OPTION_INVALID', {
      where: 'concepts',
      expected: 'a list of concepts',
      found: shown(concepts),
    });
  }
  const widths = encoders.map(({ table }) => table.width);
  for (const concept of concepts) checkConcept(concept, widths);
  const placeholders = concepts.map((concept) => ({ token: concept.token, vectors: vectorsOf(concept) }));
  const firstRow = placeholders.map((_, i) => placeholders.slice(0, i).reduce((sum, { vectors }) => sum + vectors, 0));
  // A prompt without concepts has one row of zeros in no place, so that every prompt has the same inputs.
  const vectors = Math.max(
    1,
    placeholders.reduce((sum, { vectors }) => sum + vectors, 0),
  );

  const inputs: Record<string, HostTensor> = {};
  const warnings = new Set<string>();
  for (const [i, { tokenizer, table }] of encoders.entries()) {
    const { width } = table;
    const length = tokenizer.maxLength;
    const rows = new Float32Array(vectors * width);
    concepts.forEach((concept, c) => rows.set(concept.rows[i]?.data ?? [], (firstRow[c] ?? 0) * width));
    const embedded = new Float32Array(prompts.length * length * width);
    const slots = new Float32Array(prompts.length * length * vectors);
    const ends = new Float32Array(prompts.length * length);
    for (const [b, prompt] of prompts.entries()) {
      const tokens = tokenizePrompt(tokenizer, prompt, placeholders);
      for (const warning of tokens.warnings) warnings.add(warning);
      embedded.set(await table.rows(tokens.ids), b * length * width);
      ends[b * length + tokens.endPosition] = 1;
      for (const { position, concept, row } of tokens.slots) {
        const place = b * length + position;
        embedded.fill(0, place * width, (place + 1) * width);
        slots[place * vectors + (firstRow[concept] ?? 0) + row] = 1;
      }
    }
    inputs[`rows.${i}`] = { data: rows, shape: [vectors, width] };
    inputs[`embedded.${i}`] = { data: embedded, shape: [prompts.length, length, width] };
    inputs[`slots.${i}`] = { data: slots, shape: [prompts.length, length, vectors] };
    inputs[`ends.${i}`] = { data: ends, shape: [prompts.length, length] };
  }
  return { inputs, warnings: [...warnings] };
}
