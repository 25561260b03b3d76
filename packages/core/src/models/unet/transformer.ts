import { geglu } from '../../nn/activations.js';
import { add } from '../../nn/arithmetic.js';
import { attention } from '../../nn/attention.js';
import { type Linear, linear, readLinear } from '../../nn/linear.js';
import { type GroupNorm, groupNorm, type LayerNorm, layerNorm, readGroupNorm, readLayerNorm } from '../../nn/norms.js';
import type { Tensor } from '../../tf.js';
import * as tf from '../../tf.js';
import type { Scope } from '../../weights/scope.js';
import { type Tap, tapBelow, tapped } from '../blocks/tap.js';

// Shapes: B batch · H, W latent pixels · T = H W latent tokens · S prompt tokens · C width · N heads

/** Attention with projections around it. */
interface Attention {
  readonly query: Linear;
  readonly key: Linear;
  readonly value: Linear;
  readonly output: Linear;
  readonly heads: number;
}

interface TransformerBlock {
  readonly norm1: LayerNorm;
  readonly self: Attention;
  readonly norm2: LayerNorm;
  readonly cross: Attention;
  readonly norm3: LayerNorm;
  readonly widen: Linear;
  readonly narrow: Linear;
}

/** Lets the picture look at itself and at the prompt. */
export interface SpatialTransformer {
  readonly norm: GroupNorm;
  readonly enter: Linear;
  readonly blocks: readonly TransformerBlock[];
  readonly leave: Linear;
}

export interface SpatialTransformerShape {
  channels: number;
  heads: number;
  contextWidth: number;
  layers: number;
  groups: number;
}

/** The reference's GroupNorm in a spatial transformer, whatever `norm_eps` says. */
const SPATIAL_EPSILON = 1e-6;
const LAYER_EPSILON = 1e-5;

/** Reads a spatial transformer; its projections are the same matrices whether stored as linear layers or as 1x1 convolutions. */
export function readSpatialTransformer(scope: Scope, shape: SpatialTransformerShape): SpatialTransformer {
  const { channels, layers, groups } = shape;
  return {
    norm: readGroupNorm(scope.in('norm'), channels, groups, SPATIAL_EPSILON),
    enter: readLinear(scope.in('proj_in'), channels, channels),
    blocks: Array.from({ length: layers }, (_, i) => readTransformerBlock(scope.in(`transformer_blocks.${i}`), shape)),
    leave: readLinear(scope.in('proj_out'), channels, channels),
  };
}

function readTransformerBlock(
  scope: Scope,
  { channels, heads, contextWidth }: SpatialTransformerShape,
): TransformerBlock {
  const norm = (name: string): LayerNorm => readLayerNorm(scope.in(name), channels, LAYER_EPSILON);
  return {
    norm1: norm('norm1'),
    self: readAttention(scope.in('attn1'), channels, channels, heads),
    norm2: norm('norm2'),
    cross: readAttention(scope.in('attn2'), channels, contextWidth, heads),
    norm3: norm('norm3'),
    widen: readLinear(scope.in('ff.net.0.proj'), channels, 8 * channels),
    narrow: readLinear(scope.in('ff.net.2'), 4 * channels, channels),
  };
}

function readAttention(scope: Scope, channels: number, contextWidth: number, heads: number): Attention {
  return {
    query: readLinear(scope.in('to_q'), channels, channels, { bias: false }),
    key: readLinear(scope.in('to_k'), contextWidth, channels, { bias: false }),
    value: readLinear(scope.in('to_v'), contextWidth, channels, { bias: false }),
    output: readLinear(scope.in('to_out.0'), channels, channels),
    heads,
  };
}

/**
 * @param x - `[B, H, W, C]`
 * @param context - Prompt states, `[B, S, D]`. The concept's gradient leaves through here.
 * @returns `[B, H, W, C]`
 * @see Rombach et al. 2022, arXiv 2112.10752, section 3.3
 */
export function spatialTransformer(p: SpatialTransformer, x: Tensor, context: Tensor, tap?: Tap): Tensor {
  const [batch = 0, height = 0, width = 0, channels = 0] = x.shape;
  return tf.tidy(() => {
    const tokens = tf.reshape(groupNorm(p.norm, x), [batch, height * width, channels]);
    let y = linear(p.enter, tokens);
    for (const [i, block] of p.blocks.entries())
      y = transformerBlock(block, y, context, tapBelow(tap, `transformer_blocks.${i}`));
    return add(x, tf.reshape(linear(p.leave, y), [batch, height, width, channels]));
  });
}

/** `[B, T, C]` -> `[B, T, C]` */
function transformerBlock(p: TransformerBlock, x: Tensor, context: Tensor, tap: Tap | undefined): Tensor {
  return tf.tidy(() => {
    const n1 = layerNorm(p.norm1, x);
    const y = add(x, tapped(tap, 'attn1', attend(p.self, n1, n1)));
    const z = add(y, tapped(tap, 'attn2', attend(p.cross, layerNorm(p.norm2, y), context)));
    return add(z, tapped(tap, 'ff', feedForward(p, layerNorm(p.norm3, z))));
  });
}

/** `[B, T, C]` -> `[B, T, C]` */
function feedForward({ widen, narrow }: TransformerBlock, x: Tensor): Tensor {
  const count = (widen.weight.shape[1] ?? 0) / 2;
  const [value, gate] = [0, count].map((first) => linear(widen, x, { first, count })) as [Tensor, Tensor];
  return linear(narrow, geglu(value, gate));
}

/** Every row of `x` looks at every row of `context`. `[B, T, C]` -> `[B, T, C]` */
function attend(p: Attention, x: Tensor, context: Tensor): Tensor {
  return linear(
    p.output,
    attention({ heads: p.heads }, linear(p.query, x), linear(p.key, context), linear(p.value, context)),
  );
}
