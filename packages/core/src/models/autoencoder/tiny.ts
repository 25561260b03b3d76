import { add } from '../../nn/arithmetic.js';
import { type Conv2d, type Conv2dShape, conv2d, readConv2d } from '../../nn/conv2d.js';
import { upsampleNearest } from '../../nn/resample.js';
import type { Tensor } from '../../tf.js';
import * as tf from '../../tf.js';
import type { Scope } from '../../weights/scope.js';
import type { TinyAutoencoderConfig } from './config.js';

// Shapes: B batch · H, W pixels · h, w latent pixels · L latent channels

interface TinyBlock {
  readonly convs: readonly [Conv2d, Conv2d, Conv2d];
}

interface TinyLevel {
  readonly enter: Conv2d;
  readonly blocks: readonly TinyBlock[];
}

/** The small autoencoder: a thousandth of the work, for previews. @see https://github.com/madebyollin/taesd */
export interface TinyAutoencoder {
  readonly encoder: { readonly levels: readonly TinyLevel[]; readonly convOut: Conv2d };
  readonly decoder: {
    readonly convIn: Conv2d;
    readonly levels: readonly { readonly blocks: readonly TinyBlock[]; readonly leave: Conv2d }[];
  };
}

/** Soft limit of the latents that the decoder was trained with. */
const LATENT_MAGNITUDE = 3;

/** @param picture - `[B, H, W, 3]` in [-1, 1] @returns latents as a UNet sees them, `[B, h, w, L]` */
export function encodeTiny(p: TinyAutoencoder, picture: Tensor): Tensor {
  let x = tf.div(tf.add(picture, 1), 2);
  for (const { enter, blocks } of p.encoder.levels)
    x = blocks.reduce((y, block) => tinyBlock(block, y), conv2d(enter, x));
  return conv2d(p.encoder.convOut, x);
}

/** @param latents - as a UNet sees them, `[B, h, w, L]` @returns `[B, H, W, 3]`, about [-1, 1] */
export function decodeTiny(p: TinyAutoencoder, latents: Tensor): Tensor {
  const limited = tf.mul(tf.tanh(tf.div(latents, LATENT_MAGNITUDE)), LATENT_MAGNITUDE);
  let x = tf.relu(conv2d(p.decoder.convIn, limited));
  for (const [i, { blocks, leave }] of p.decoder.levels.entries()) {
    const y = blocks.reduce((y, block) => tinyBlock(block, y), x);
    x = conv2d(leave, i < p.decoder.levels.length - 1 ? upsampleNearest(y) : y);
  }
  return tf.sub(tf.mul(x, 2), 1);
}

/** Three convolutions around a residual. */
function tinyBlock({ convs: [first, second, third] }: TinyBlock, x: Tensor): Tensor {
  return tf.tidy(() => tf.relu(add(conv2d(third, tf.relu(conv2d(second, tf.relu(conv2d(first, x))))), x)));
}

/** Reads both halves, whose layers the file only numbers. @throws WEIGHT_MISSING, WEIGHT_SHAPE */
export function readTinyAutoencoder(scope: Scope, config: TinyAutoencoderConfig): TinyAutoencoder {
  return { encoder: readEncoder(scope.in('encoder'), config), decoder: readDecoder(scope.in('decoder'), config) };
}

function readEncoder(
  scope: Scope,
  { encoder, inChannels, latentChannels }: TinyAutoencoderConfig,
): TinyAutoencoder['encoder'] {
  let layer = 0;
  let inputs = inChannels;
  const levels = encoder.channels.map((channels, i) => {
    const shape: Conv2dShape =
      i === 0 ? { inputs, outputs: channels } : { inputs, outputs: channels, stride: 2, bias: false };
    const enter = readConv2d(scope.in(`layers.${layer++}`), shape);
    inputs = channels;
    return {
      enter,
      blocks: Array.from({ length: encoder.blocks[i] ?? 0 }, () => readBlock(scope.in(`layers.${layer++}`), channels)),
    };
  });
  return { levels, convOut: readConv2d(scope.in(`layers.${layer}`), { inputs, outputs: latentChannels }) };
}

function readDecoder(
  scope: Scope,
  { decoder, latentChannels, outChannels }: TinyAutoencoderConfig,
): TinyAutoencoder['decoder'] {
  const last = decoder.channels.length - 1;
  const convIn = readConv2d(scope.in('layers.0'), { inputs: latentChannels, outputs: decoder.channels[0] ?? 0 });
  let layer = 2; // 1 is an activation
  const levels = decoder.channels.map((channels, i) => {
    const blocks = Array.from({ length: decoder.blocks[i] ?? 0 }, () =>
      readBlock(scope.in(`layers.${layer++}`), channels),
    );
    if (i < last) layer++; // doubles the picture
    const shape: Conv2dShape =
      i < last ? { inputs: channels, outputs: channels, bias: false } : { inputs: channels, outputs: outChannels };
    return { blocks, leave: readConv2d(scope.in(`layers.${layer++}`), shape) };
  });
  return { convIn, levels };
}

function readBlock(scope: Scope, channels: number): TinyBlock {
  const conv = (index: number): Conv2d =>
    readConv2d(scope.in(`conv.${index}`), { inputs: channels, outputs: channels });
  return { convs: [conv(0), conv(2), conv(4)] };
}
