import { type Conv2d, conv2d, readConv2d } from '../../nn/conv2d.js';
import { type Linear, linear, readLinear } from '../../nn/linear.js';
import { type LayerNorm, layerNorm, readLayerNorm } from '../../nn/norms.js';
import type { Tensor } from '../../tf.js';
import * as tf from '../../tf.js';
import type { Scope } from '../../weights/scope.js';
import { type ClipLayer, clipLayer, readClipLayers } from '../clip/layer.js';
import type { ClipVisionConfig } from './config.js';

// Shapes: B batch · T patches and one class token · D width · P width of the projection

export interface ClipVision {
  readonly patches: Conv2d;
  /** `[D]` */
  readonly classToken: Tensor;
  /** `[T, D]` */
  readonly positions: Tensor;
  readonly firstNorm: LayerNorm;
  readonly layers: readonly ClipLayer[];
  readonly finalNorm: LayerNorm;
  readonly projection: Linear;
}

/** Reads the picture encoder. @throws WEIGHT_MISSING, WEIGHT_SHAPE */
export function readClipVision(scope: Scope, config: ClipVisionConfig): ClipVision {
  const root = scope.has('vision_model') ? scope.in('vision_model') : scope;
  const { width, patchPx, epsilon } = config;
  const tokens = Math.floor(config.sizePx / patchPx) ** 2 + 1;
  const embeddings = root.in('embeddings');
  embeddings.ignore('position_ids');
  return {
    patches: readConv2d(embeddings.in('patch_embedding'), {
      inputs: config.channels,
      outputs: width,
      kernel: patchPx,
      stride: patchPx,
      pads: [0, 0, 0, 0],
      bias: false,
    }),
    classToken: embeddings.tensor('class_embedding', [width]),
    positions: embeddings.tensor('position_embedding.weight', [tokens, width]),
    firstNorm: readLayerNorm(root.in('pre_layrnorm'), width, epsilon), // spelt so in every file
    layers: readClipLayers(root.in('encoder'), config, false),
    finalNorm: readLayerNorm(root.in('post_layernorm'), width, epsilon),
    projection: readLinear(scope.in('visual_projection'), width, config.projectionWidth, { bias: false }),
  };
}

/**
 * @param pixels - `[B, H, W, 3]`, normalised as CLIP wants them.
 * @returns `embedding` `[B, P]`, not normalised, and `last` `[B, T, D]`.
 * @see Radford et al. 2021, arXiv 2103.00020
 */
export function encodeImage(p: ClipVision, pixels: Tensor): { embedding: Tensor; last: Tensor } {
  const [batch = 0] = pixels.shape;
  const [tokens = 0, width = 0] = p.positions.shape;
  const patches = tf.reshape(conv2d(p.patches, pixels), [batch, tokens - 1, width]);
  const classToken = tf.tile(tf.reshape(p.classToken, [1, 1, width]), [batch, 1, 1]);
  const embedded = tf.add(tf.concat([classToken, patches], 1), tf.reshape(p.positions, [1, tokens, width]));
  const last = p.layers.reduce((x, layer) => clipLayer(layer, x), layerNorm(p.firstNorm, embedded));
  const first = tf.reshape(tf.slice(last, [0, 0, 0], [batch, 1, width]), [batch, width]);
  return { embedding: linear(p.projection, layerNorm(p.finalNorm, first)), last };
}
