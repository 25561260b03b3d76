import { TextualInversionError } from '../errors.js';
import type { HostTensor } from '../platform.js';

/** A learned word. */
export interface Concept {
  /** The word that stands for it in prompts, such as `<my-cat>`. */
  readonly token: string;
  /** One `[V, D]` per text encoder of the model, in its order: one for SD 1.x and 2.x; CLIP L and CLIP bigG for SDXL. */
  readonly rows: readonly HostTensor[];
  readonly info: ConceptInfo;
}

/** What a file may say beside the numbers. */
export interface ConceptInfo {
  /** Training steps behind it. */
  readonly steps?: number;
  /** Name of the model it was trained on. */
  readonly model?: string;
}

/** How many rows a concept has, and so how many places it takes in a prompt. */
export function vectorsOf({ rows }: Pick<Concept, 'rows'>): number {
  return rows[0]?.shape[0] ?? 0;
}

/**
 * Checks that a concept's rows are as wide as a model's text encoders want, and as many for each.
 * @param widths - Of the model's encoders.
 * @throws CONCEPT_WIDTH
 */
export function checkConcept(concept: Concept, widths: readonly number[]): void {
  const found = concept.rows.map(({ shape }) => shape[1] ?? 0);
  if (found.length !== widths.length || found.some((width, i) => width !== widths[i])) {
    throw new TextualInversionError('CONCEPT_WIDTH', {
      where: concept.token,
      expected: `rows of width ${widths.join(' and ')}, as the model's text encoders have`,
      found: found.join(' and '),
      fix: 'The concept was trained on another kind of model.',
      details: { expected: widths, found },
    });
  }
  const vectors = vectorsOf(concept);
  const whole = ({ data, shape: [count, width = 0] }: HostTensor) => count === vectors && data.length === count * width;
  if (vectors > 0 && concept.rows.every(whole)) return;
  throw new TextualInversionError('CONCEPT_WIDTH', {
    where: concept.token,
    expected: 'rows, as many for each text encoder, with all their numbers',
    found: concept.rows.map(({ data, shape }) => `[${shape.join(', ')}] of ${data.length} numbers`).join(' and '),
  });
}
