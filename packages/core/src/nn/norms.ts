import type { Tensor } from '../tf.js';
import * as tf from '../tf.js';
import type { Scope } from '../weights/scope.js';

/** Scale and offset after normalising. Frozen. */
interface Norm {
  /** `[C]` */
  readonly scale: Tensor;
  /** `[C]` */
  readonly offset: Tensor;
  readonly epsilon: number;
}
export type LayerNorm = Norm;
export interface GroupNorm extends Norm {
  readonly groups: number;
}

/** Reads `weight` and `bias`. @param epsilon - 1e-5 in CLIP and in transformer blocks. */
export function readLayerNorm(scope: Scope, width: number, epsilon: number): LayerNorm {
  return { scale: scope.tensor('weight', [width]), offset: scope.tensor('bias', [width]), epsilon };
}

/**
 * Reads `weight` and `bias`.
 * @param epsilon - Not one constant: the UNet's ResNets use `norm_eps` (1e-5), its spatial transformers and the whole
 *   autoencoder 1e-6.
 */
export function readGroupNorm(scope: Scope, channels: number, groups: number, epsilon: number): GroupNorm {
  return { scale: scope.tensor('weight', [channels]), offset: scope.tensor('bias', [channels]), groups, epsilon };
}

/** Normalises the last axis. @param x - `[..., D]` @returns the same shape. @see Ba et al. 2016, arXiv 1607.06450 */
export function layerNorm(p: LayerNorm, x: Tensor): Tensor {
  return normalised(
    x,
    () =>
      tf.composite('LayerNorm', { x, scale: p.scale, offset: p.offset }, { epsilon: p.epsilon }, () =>
        layerNormForward(p, x),
      ),
    (dy, statistics) =>
      tf.composite('LayerNormGrad', { dy, scale: p.scale, ...statistics }, {}, () => [
        layerNormBackward(p, dy, statistics),
      ]),
  );
}

/**
 * Normalises each group of channels over the whole picture.
 * @param x - `[B, ..., C]` @returns the same shape. @see Wu & He 2018, arXiv 1803.08494
 */
export function groupNorm(p: GroupNorm, x: Tensor): Tensor {
  const { groups, epsilon } = p;
  return normalised(
    x,
    () =>
      tf.composite('GroupNorm', { x, scale: p.scale, offset: p.offset }, { groups, epsilon }, () =>
        groupNormForward(p, x),
      ),
    (dy, statistics) =>
      tf.composite('GroupNormGrad', { dy, scale: p.scale, ...statistics }, { groups, epsilon }, () => [
        groupNormBackward(p, dy, statistics),
      ]),
  );
}

interface Statistics {
  readonly x: Tensor;
  readonly mean: Tensor;
  /** One over the standard deviation. */
  readonly rstd: Tensor;
}

/** Keeps the input and its two small statistics for the way back. */
function normalised(x: Tensor, forward: () => Tensor[], backward: (dy: Tensor, s: Statistics) => Tensor[]): Tensor {
  return tf.withGradient(
    [x],
    (save) => {
      const [y, mean, rstd] = forward();
      if (!y || !mean || !rstd) throw new Error('a norm kernel returned no statistics');
      save([x, mean, rstd]);
      return y;
    },
    (dy, [x, mean, rstd]) => {
      if (!x || !mean || !rstd) throw new Error('the tape lost the statistics of a norm');
      return backward(dy, { x, mean, rstd });
    },
  );
}

function layerNormForward({ scale, offset, epsilon }: LayerNorm, x: Tensor): Tensor[] {
  const mean = tf.mean(x, -1, true);
  const centred = tf.sub(x, mean);
  const rstd = tf.rsqrt(tf.add(tf.mean(tf.square(centred), -1, true), epsilon));
  return [tf.add(tf.mul(tf.mul(centred, rstd), scale), offset), mean, rstd];
}

// With g = dy * scale and n = (x - mean) * rstd:  dx = rstd * (g - mean(g) - n * mean(g * n))
function layerNormBackward({ scale }: LayerNorm, dy: Tensor, { x, mean, rstd }: Statistics): Tensor {
  const g = tf.mul(dy, scale);
  const n = tf.mul(tf.sub(x, mean), rstd);
  const along = tf.mul(n, tf.mean(tf.mul(g, n), -1, true));
  return tf.mul(rstd, tf.sub(tf.sub(g, tf.mean(g, -1, true)), along));
}

/** `[B, ..., C]` -> `[B, 1, C]`. First over short runs, so that float32 sums of a million terms stay exact enough. */
function channelMeans(x: Tensor): Tensor {
  const [batch = 0, rows = 0] = x.shape;
  const channels = x.shape.at(-1) ?? 0;
  return tf.mean(tf.mean(tf.reshape(x, [batch, rows, -1, channels]), 2), 1, true);
}

/** `[B, 1, C]` -> `[B, G, 1]` */
function groupMeans(perChannel: Tensor, groups: number): Tensor {
  const [batch = 0, , channels = 0] = perChannel.shape;
  return tf.mean(tf.reshape(perChannel, [batch, groups, channels / groups]), -1, true);
}

/** `[B, G, 1]` -> `[B, 1, ..., C]`, ready to be combined with `x`. */
function perChannel(perGroup: Tensor, x: Tensor): Tensor {
  const [batch = 0, groups = 1] = perGroup.shape;
  const channels = x.shape.at(-1) ?? 0;
  return tf.reshape(tf.tile(perGroup, [1, 1, channels / groups]), [
    batch,
    ...x.shape.slice(1, -1).map(() => 1),
    channels,
  ]);
}

function groupNormForward({ scale, offset, groups, epsilon }: GroupNorm, x: Tensor): Tensor[] {
  const mean = groupMeans(channelMeans(x), groups);
  const centred = tf.sub(x, perChannel(mean, x));
  const rstd = tf.rsqrt(tf.add(groupMeans(channelMeans(tf.square(centred)), groups), epsilon));
  return [tf.add(tf.mul(centred, tf.mul(perChannel(rstd, x), scale)), offset), mean, rstd];
}

// As for the layer norm; the means come from two sums per channel, and dx = dy * a + centred * b + c with small a, b, c.
function groupNormBackward({ scale, groups }: GroupNorm, dy: Tensor, { x, mean, rstd }: Statistics): Tensor {
  const centred = tf.sub(x, perChannel(mean, x));
  const meanG = groupMeans(tf.mul(channelMeans(dy), scale), groups);
  const meanGN = tf.mul(groupMeans(tf.mul(channelMeans(tf.mul(dy, centred)), scale), groups), rstd);
  const a = tf.mul(perChannel(rstd, x), scale);
  const b = perChannel(tf.mul(tf.square(rstd), meanGN), x);
  const c = perChannel(tf.mul(rstd, meanG), x);
  return tf.sub(tf.sub(tf.mul(dy, a), tf.mul(centred, b)), c);
}
