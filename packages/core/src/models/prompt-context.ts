import { injectConcept } from '../concepts/inject.js';
import { concatChannels } from '../nn/arithmetic.js';
import type { Tensor } from '../tf.js';
import { type ClipText, type EncodedText, encodeText } from './clip-text/model.js';

// Shapes: B batch · S prompt tokens · V rows of the concept · D width of an encoder

/** Which state of a text encoder the UNet sees: the normalised last one (SD 1.x, 2.x), or the one before the last layer (SDXL). */
export type ContextLayer = 'last' | 'penultimate';

/** One text encoder of a diffusion model. */
export interface PromptEncoder {
  readonly params: ClipText;
  readonly contextLayer: ContextLayer;
}

/** What one encoder needs to know about a batch of prompts. */
export interface PromptInputs {
  /** Looked-up tokens, `[B, S, D]`, zero at the slots. */
  readonly embedded: Tensor;
  /** `[B, S, V]`, one where a token is the concept's row. */
  readonly slots: Tensor;
  /** The concept, `[V, D]`. */
  readonly rows: Tensor;
  /** `[B, S]`, one where the text ends. */
  readonly ends: Tensor;
}

/**
 * Turns prompts into what the UNet sees.
 * @param prompts - One entry per encoder, in the encoders' order.
 * @returns `context` `[B, S, D + D2 + ...]`, the encoders side by side, and `pooled` `[B, P]` of the last encoder.
 */
export function encodePrompts(
  encoders: readonly PromptEncoder[],
  prompts: readonly PromptInputs[],
): { context: Tensor; pooled: Tensor } {
  const encoded = encoders.map(({ params, contextLayer }, i) => {
    const { embedded, slots, rows, ends } = at(prompts, i);
    const text = encodeText(params, injectConcept(embedded, slots, rows), ends);
    return { context: CONTEXT[contextLayer](text), pooled: text.pooled };
  });
  const contexts = encoded.map(({ context }) => context);
  return {
    context: contexts.length === 1 ? at(contexts, 0) : concatChannels(contexts),
    pooled: at(encoded, encoded.length - 1).pooled,
  };
}

const CONTEXT: Readonly<Record<ContextLayer, (text: EncodedText) => Tensor>> = {
  last: ({ last }) => last,
  penultimate: ({ hidden }) => at(hidden, hidden.length - 2),
};

function at<T>(list: readonly T[], index: number): T {
  const entry = list[index];
  if (entry === undefined) throw new Error(`a diffusion model with no text encoder ${index}`);
  return entry;
}
