import { silu } from '../../nn/activations.js';
import { add } from '../../nn/arithmetic.js';
import { type Conv2d, conv2d, readConv2d } from '../../nn/conv2d.js';
import { type Linear, linear, readLinear } from '../../nn/linear.js';
import { type GroupNorm, groupNorm, readGroupNorm } from '../../nn/norms.js';
import type { Tensor } from '../../tf.js';
import * as tf from '../../tf.js';
import type { Scope } from '../../weights/scope.js';

/** Two convolutions around a residual. */
export interface Resnet {
  readonly norm1: GroupNorm;
  readonly conv1: Conv2d;
  /** Adds the timestep; the autoencoder's blocks have none. */
  readonly time: Linear | undefined;
  readonly norm2: GroupNorm;
  readonly conv2: Conv2d;
  /** Where the number of channels changes. */
  readonly shortcut: Conv2d | undefined;
  /** What the sum is divided by. */
  readonly outputScale: number;
}

export interface ResnetShape {
  inputs: number;
  outputs: number;
  groups: number;
  epsilon: number;
  timeWidth?: number;
  /** @defaultValue 1 */
  outputScale?: number;
}

export function readResnet(
  scope: Scope,
  { inputs, outputs, groups, epsilon, timeWidth, outputScale = 1 }: ResnetShape,
): Resnet {
  return {
    norm1: readGroupNorm(scope.in('norm1'), inputs, groups, epsilon),
    conv1: readConv2d(scope.in('conv1'), { inputs, outputs }),
    time: timeWidth === undefined ? undefined : readLinear(scope.in('time_emb_proj'), timeWidth, outputs),
    norm2: readGroupNorm(scope.in('norm2'), outputs, groups, epsilon),
    conv2: readConv2d(scope.in('conv2'), { inputs: outputs, outputs }),
    shortcut: inputs === outputs ? undefined : readConv2d(scope.in('conv_shortcut'), { inputs, outputs, kernel: 1 }),
    outputScale,
  };
}

/**
 * @param x - `[B, H, W, I]`
 * @param time - The activated timestep embedding, `[B, E]`.
 * @returns `[B, H, W, O]`
 * @see He et al. 2015, arXiv 1512.03385; Ho et al. 2020, arXiv 2006.11239, appendix B
 */
export function resnet(p: Resnet, x: Tensor, time?: Tensor): Tensor {
  return tf.tidy(() => {
    const first = conv2d(p.conv1, silu(groupNorm(p.norm1, x)));
    const timed = p.time && time ? addToChannels(first, linear(p.time, time)) : first;
    const second = conv2d(p.conv2, silu(groupNorm(p.norm2, timed)));
    const sum = add(p.shortcut ? conv2d(p.shortcut, x) : x, second);
    return p.outputScale === 1 ? sum : tf.div(sum, p.outputScale);
  });
}

/** `[B, H, W, C] + [B, C]` */
function addToChannels(x: Tensor, perChannel: Tensor): Tensor {
  const [batch = 0, channels = 0] = perChannel.shape;
  return add(x, tf.reshape(perChannel, [batch, 1, 1, channels]));
}
