import type { Activation } from '../../nn/activations.js';
import { geluExact, geluTanh, quickGelu } from '../../nn/activations.js';
import { add } from '../../nn/arithmetic.js';
import { attention } from '../../nn/attention.js';
import { type Linear, linear, readLinear } from '../../nn/linear.js';
import { type LayerNorm, layerNorm, readLayerNorm } from '../../nn/norms.js';
import type { Tensor } from '../../tf.js';
import * as tf from '../../tf.js';
import type { Scope } from '../../weights/scope.js';

/** What the text and the picture half of CLIP have in common. */
export interface ClipLayersConfig {
  readonly width: number;
  readonly layers: number;
  readonly heads: number;
  /** Width inside the feed-forward part. */
  readonly innerWidth: number;
  readonly activation: ClipActivation;
  readonly epsilon: number;
}

export type ClipActivation = keyof typeof ACTIVATIONS;
const ACTIVATIONS = { quickGelu, geluExact, geluTanh } satisfies Record<string, Activation>;

/** transformers' names for them. */
export const CLIP_ACTIVATIONS: Readonly<Record<string, ClipActivation>> = {
  quick_gelu: 'quickGelu',
  gelu: 'geluExact',
  gelu_new: 'geluTanh',
  gelu_pytorch_tanh: 'geluTanh',
};

/** A transformer layer that normalises first. */
export interface ClipLayer {
  readonly norm1: LayerNorm;
  readonly query: Linear;
  readonly key: Linear;
  readonly value: Linear;
  readonly output: Linear;
  readonly norm2: LayerNorm;
  readonly widen: Linear;
  readonly narrow: Linear;
  readonly activation: Activation;
  readonly shape: { readonly heads: number; readonly causal: boolean };
}

/** Reads `layers.0`, `layers.1`, ... */
export function readClipLayers(scope: Scope, config: ClipLayersConfig, causal: boolean): ClipLayer[] {
  const { width, innerWidth, heads, epsilon } = config;
  return Array.from({ length: config.layers }, (_, i) => {
    const layer = scope.in(`layers.${i}`);
    return {
      norm1: readLayerNorm(layer.in('layer_norm1'), width, epsilon),
      query: readLinear(layer.in('self_attn.q_proj'), width, width),
      key: readLinear(layer.in('self_attn.k_proj'), width, width),
      value: readLinear(layer.in('self_attn.v_proj'), width, width),
      output: readLinear(layer.in('self_attn.out_proj'), width, width),
      norm2: readLayerNorm(layer.in('layer_norm2'), width, epsilon),
      widen: readLinear(layer.in('mlp.fc1'), width, innerWidth),
      narrow: readLinear(layer.in('mlp.fc2'), innerWidth, width),
      activation: ACTIVATIONS[config.activation],
      shape: { heads, causal },
    };
  });
}

/** @param x - `[B, T, D]` @returns `[B, T, D]` @see Radford et al. 2021, arXiv 2103.00020, section 2.4 */
export function clipLayer(p: ClipLayer, x: Tensor): Tensor {
  return tf.tidy(() => {
    const n = layerNorm(p.norm1, x);
    const attended = attention(p.shape, linear(p.query, n), linear(p.key, n), linear(p.value, n));
    const y = add(x, linear(p.output, attended));
    return add(y, linear(p.narrow, p.activation(linear(p.widen, layerNorm(p.norm2, y)))));
  });
}
