import { silu } from '../../nn/activations.js';
import { add } from '../../nn/arithmetic.js';
import { attention } from '../../nn/attention.js';
import { type Conv2d, conv2d, readConv2d } from '../../nn/conv2d.js';
import { type Linear, linear, readLinear } from '../../nn/linear.js';
import { type GroupNorm, groupNorm, readGroupNorm } from '../../nn/norms.js';
import { upsampleNearest } from '../../nn/resample.js';
import type { Tensor } from '../../tf.js';
import * as tf from '../../tf.js';
import type { Scope } from '../../weights/scope.js';
import { type Resnet, readResnet, resnet } from '../blocks/resnet.js';
import type { AutoencoderConfig } from './config.js';

// Shapes: B batch · H, W pixels · h, w latent pixels · C channels · L latent channels

interface Level {
  readonly resnets: readonly Resnet[];
  readonly resample: Conv2d | undefined;
}

interface PixelAttention {
  readonly norm: GroupNorm;
  readonly query: Linear;
  readonly key: Linear;
  readonly value: Linear;
  readonly output: Linear;
}

interface Middle {
  readonly enter: Resnet;
  readonly attention: PixelAttention | undefined;
  readonly leave: Resnet;
}

interface Ends {
  readonly convIn: Conv2d;
  readonly levels: readonly Level[];
  readonly middle: Middle;
  readonly norm: GroupNorm;
  readonly convOut: Conv2d;
}

export interface Autoencoder {
  readonly encoder: Ends;
  /** 1x1, after the encoder. */
  readonly quant: Conv2d | undefined;
  /** 1x1, before the decoder. */
  readonly postQuant: Conv2d | undefined;
  readonly decoder: Ends;
  readonly latentChannels: number;
}

/** The whole autoencoder has one epsilon, whatever a UNet's config says. */
const EPSILON = 1e-6;

/**
 * Encodes pictures to the mean and the logarithm of the variance of their latents' normal distribution.
 * @param picture - `[B, H, W, 3]` in [-1, 1]; sides are multiples of `config.downscale`.
 * @returns `mean` and `logvar`, each `[B, h, w, L]`, before the scaling factor. The reference limits `logvar` to [-30, 20] before it
 *   makes a deviation of it.
 * @see Rombach et al. 2022, arXiv 2112.10752, section 3.1
 */
export function encodeMoments(p: Autoencoder, picture: Tensor): { mean: Tensor; logvar: Tensor } {
  const { encoder } = p;
  let x = conv2d(encoder.convIn, picture);
  for (const level of encoder.levels) x = tf.tidy(() => halved(level, x));
  const out = finish(encoder, middle(encoder.middle, x)); // [B, h, w, 2L]
  const moments = p.quant ? conv2d(p.quant, out) : out;
  const [batch = 0, h = 0, w = 0] = moments.shape;
  const from = (channel: number): Tensor => tf.slice(moments, [0, 0, 0, channel], [batch, h, w, p.latentChannels]);
  return { mean: from(0), logvar: from(p.latentChannels) };
}

/**
 * Decodes latents.
 * @param latents - `[B, h, w, L]`, divided by the scaling factor.
 * @returns `[B, H, W, 3]`, about [-1, 1].
 */
export function decodeLatents(p: Autoencoder, latents: Tensor): Tensor {
  const { decoder } = p;
  let x = middle(decoder.middle, conv2d(decoder.convIn, p.postQuant ? conv2d(p.postQuant, latents) : latents));
  for (const level of decoder.levels) x = tf.tidy(() => doubled(level, x));
  return finish(decoder, x);
}

function halved(p: Level, x: Tensor): Tensor {
  const y = p.resnets.reduce((y, block) => resnet(block, y), x);
  return p.resample ? conv2d(p.resample, y) : y;
}

function doubled(p: Level, x: Tensor): Tensor {
  const y = p.resnets.reduce((y, block) => resnet(block, y), x);
  return p.resample ? conv2d(p.resample, upsampleNearest(y)) : y;
}

function middle(p: Middle, x: Tensor): Tensor {
  return tf.tidy(() => {
    const y = resnet(p.enter, x);
    return resnet(p.leave, p.attention ? pixelAttention(p.attention, y) : y);
  });
}

function finish(p: Ends, x: Tensor): Tensor {
  return conv2d(p.convOut, silu(groupNorm(p.norm, x)));
}

/** Every pixel looks at every pixel, with one head. `[B, h, w, C]` -> `[B, h, w, C]` */
function pixelAttention(p: PixelAttention, x: Tensor): Tensor {
  const [batch = 0, h = 0, w = 0, channels = 0] = x.shape;
  const tokens = tf.reshape(groupNorm(p.norm, x), [batch, h * w, channels]);
  const attended = attention({ heads: 1 }, linear(p.query, tokens), linear(p.key, tokens), linear(p.value, tokens));
  return add(x, tf.reshape(linear(p.output, attended), [batch, h, w, channels]));
}

/** Reads both halves. @throws WEIGHT_MISSING, WEIGHT_SHAPE */
export function readAutoencoder(scope: Scope, config: AutoencoderConfig): Autoencoder {
  const { latentChannels: latent } = config;
  const square = (name: string, channels: number): Conv2d =>
    readConv2d(scope.in(name), { inputs: channels, outputs: channels, kernel: 1 });
  return {
    encoder: readEncoder(scope.in('encoder'), config),
    quant: config.quantConv ? square('quant_conv', 2 * latent) : undefined,
    postQuant: config.postQuantConv ? square('post_quant_conv', latent) : undefined,
    decoder: readDecoder(scope.in('decoder'), config),
    latentChannels: latent,
  };
}

function readEncoder(scope: Scope, config: AutoencoderConfig): Ends {
  const { channels, groups } = config;
  let inputs = channels[0] ?? 0;
  return {
    convIn: readConv2d(scope.in('conv_in'), { inputs: config.inChannels, outputs: inputs }),
    levels: channels.map((outputs, i) => {
      const resnets = readResnets(scope.in(`down_blocks.${i}`), config.resnets, inputs, outputs, groups);
      inputs = outputs;
      // The reference pads only behind the picture here, unlike its UNet.
      const shape = { inputs, outputs, stride: 2, pads: [0, 1, 0, 1] } as const;
      return {
        resnets,
        resample:
          i < channels.length - 1 ? readConv2d(scope.in(`down_blocks.${i}.downsamplers.0.conv`), shape) : undefined,
      };
    }),
    middle: readMiddle(scope.in('mid_block'), inputs, config),
    norm: readGroupNorm(scope.in('conv_norm_out'), inputs, groups, EPSILON),
    convOut: readConv2d(scope.in('conv_out'), { inputs, outputs: 2 * config.latentChannels }),
  };
}

function readDecoder(scope: Scope, config: AutoencoderConfig): Ends {
  const { groups } = config;
  const channels = config.channels.toReversed();
  const widest = channels[0] ?? 0;
  let inputs = widest;
  return {
    convIn: readConv2d(scope.in('conv_in'), { inputs: config.latentChannels, outputs: widest }),
    middle: readMiddle(scope.in('mid_block'), widest, config),
    levels: channels.map((outputs, i) => {
      const resnets = readResnets(scope.in(`up_blocks.${i}`), config.resnets + 1, inputs, outputs, groups);
      inputs = outputs;
      return {
        resnets,
        resample:
          i < channels.length - 1
            ? readConv2d(scope.in(`up_blocks.${i}.upsamplers.0.conv`), { inputs, outputs })
            : undefined,
      };
    }),
    norm: readGroupNorm(scope.in('conv_norm_out'), inputs, groups, EPSILON),
    convOut: readConv2d(scope.in('conv_out'), { inputs, outputs: config.outChannels }),
  };
}

function readResnets(scope: Scope, count: number, inputs: number, outputs: number, groups: number): Resnet[] {
  return Array.from({ length: count }, (_, i) =>
    readResnet(scope.in(`resnets.${i}`), { inputs: i === 0 ? inputs : outputs, outputs, groups, epsilon: EPSILON }),
  );
}

function readMiddle(scope: Scope, channels: number, { groups, middleAttention }: AutoencoderConfig): Middle {
  const [enter, leave] = readResnets(scope, 2, channels, channels, groups);
  if (!enter || !leave) throw new Error('two were asked for');
  return {
    enter,
    leave,
    attention: middleAttention ? readPixelAttention(scope.in('attentions.0'), channels, groups) : undefined,
  };
}

/** Reads the attention under its names of today or of 2022. */
function readPixelAttention(scope: Scope, channels: number, groups: number): PixelAttention {
  const square = (...names: string[]): Linear => readLinear(scope.firstOf(...names), channels, channels);
  return {
    norm: readGroupNorm(scope.in('group_norm'), channels, groups, EPSILON),
    query: square('to_q', 'query'),
    key: square('to_k', 'key'),
    value: square('to_v', 'value'),
    output: square('to_out.0', 'proj_attn'),
  };
}
