import { TextualInversionError } from '../../errors.js';
import { add } from '../../nn/arithmetic.js';
import { type Linear, linear, readLinear } from '../../nn/linear.js';
import { type LayerNorm, layerNorm, readLayerNorm } from '../../nn/norms.js';
import type { Tensor } from '../../tf.js';
import * as tf from '../../tf.js';
import type { Scope } from '../../weights/scope.js';
import { type ClipLayer, clipLayer, readClipLayers } from '../clip/layer.js';
import type { ClipTextConfig } from './config.js';

// Shapes: B batch · S prompt tokens · D width · P width of the projection

/** The text encoder without its vocabulary, which stays on the host: see `EmbeddingTable`. */
export interface ClipText {
  /** `[S, D]` */
  readonly positions: Tensor;
  readonly layers: readonly ClipLayer[];
  readonly finalNorm: LayerNorm;
  readonly projection: Linear | undefined;
}

export interface EncodedText {
  /** What enters the first layer, then what leaves each layer: `layers + 1` tensors `[B, S, D]`, none normalised. */
  readonly hidden: readonly Tensor[];
  /** `[B, S, D]`, normalised. The context of SD 1.x and 2.x. */
  readonly last: Tensor;
  /** `[B, D]`, or `[B, P]` where the model has a projection: the state at the end of the text. */
  readonly pooled: Tensor;
}

const TOKEN_EMBEDDING = 'embeddings.token_embedding.weight';

/** The name of the vocabulary table in a checkpoint, with or without the prefix that older files have. */
export function tokenEmbeddingName(has: (name: string) => boolean): string {
  const prefixed = `text_model.${TOKEN_EMBEDDING}`;
  return has(prefixed) ? prefixed : TOKEN_EMBEDDING;
}

/** Reads the text encoder; the vocabulary table is checked to be there and left where it is. */
export function readClipText(scope: Scope, config: ClipTextConfig): ClipText {
  const root = scope.has('text_model') ? scope.in('text_model') : scope;
  const { width, positions, projectionWidth, epsilon } = config;
  if (!root.has(TOKEN_EMBEDDING)) {
    throw new TextualInversionError('WEIGHT_MISSING', {
      where: `${root.path}.${TOKEN_EMBEDDING}`,
      expected: `[${config.vocabSize}, ${width}]`,
      found: 'nothing',
    });
  }
  root.ignore(TOKEN_EMBEDDING);
  root.ignore('embeddings.position_ids');
  return {
    positions: root.tensor('embeddings.position_embedding.weight', [positions, width]),
    layers: readClipLayers(root.in('encoder'), config, true),
    finalNorm: readLayerNorm(root.in('final_layer_norm'), width, epsilon),
    projection:
      projectionWidth === undefined
        ? undefined
        : readLinear(scope.in('text_projection'), width, projectionWidth, { bias: false }),
  };
}

/**
 * Encodes prompts whose tokens were looked up already, with a concept's rows put in their places.
 * @param embedded - `[B, S, D]` (`EmbeddingTable`, then `injectConcept`).
 * @param ends - `[B, S]`, one where a text ends and zero elsewhere. Found by token id, never as the largest id: an added token
 *   has a larger one.
 * @see Radford et al. 2021, arXiv 2103.00020
 */
export function encodeText(p: ClipText, embedded: Tensor, ends: Tensor): EncodedText {
  const [batch = 0, tokens = 0, width = 0] = embedded.shape;
  const hidden = [add(embedded, tf.reshape(p.positions, [1, tokens, width]))];
  for (const layer of p.layers) hidden.push(clipLayer(layer, hidden.at(-1) ?? embedded));
  const last = layerNorm(p.finalNorm, hidden.at(-1) ?? embedded);
  const atEnd = tf.reshape(tf.matMul(tf.reshape(ends, [batch, 1, tokens]), last), [batch, width]);
  return { hidden, last, pooled: p.projection ? linear(p.projection, atEnd) : atEnd };
}
