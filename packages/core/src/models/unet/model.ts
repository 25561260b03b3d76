import { TextualInversionError } from '../../errors.js';
import { silu } from '../../nn/activations.js';
import { add, concatChannels } from '../../nn/arithmetic.js';
import { checkpointed } from '../../nn/checkpointed.js';
import { type Conv2d, conv2d, readConv2d } from '../../nn/conv2d.js';
import { type Linear, linear, readLinear } from '../../nn/linear.js';
import { type GroupNorm, groupNorm, readGroupNorm } from '../../nn/norms.js';
import { upsampleNearest } from '../../nn/resample.js';
import type { Tensor } from '../../tf.js';
import * as tf from '../../tf.js';
import type { Scope } from '../../weights/scope.js';
import { type Resnet, readResnet, resnet } from '../blocks/resnet.js';
import { type Tap, tapBelow, tapped } from '../blocks/tap.js';
import type { UnetBlockConfig, UnetConfig } from './config.js';
import { readSpatialTransformer, type SpatialTransformer, spatialTransformer } from './transformer.js';

// Shapes: B batch · H, W latent pixels · C channels · S prompt tokens · D width of the prompt · E width of the time embedding

/** Two layers that turn sinusoids (and SDXL's second condition) into an embedding. */
interface TimeMlp {
  readonly first: Linear;
  readonly second: Linear;
}

interface UnetLayer {
  readonly resnet: Resnet;
  readonly transformer: SpatialTransformer | undefined;
}

interface UnetBlock {
  readonly layers: readonly UnetLayer[];
  /** The convolution that halves, or that follows a doubling. */
  readonly resample: Conv2d | undefined;
}

/** The denoising network's weights. */
export interface Unet {
  readonly convIn: Conv2d;
  readonly time: TimeMlp;
  readonly addition: TimeMlp | undefined;
  readonly down: readonly UnetBlock[];
  readonly middle: { readonly enter: UnetLayer; readonly leave: Resnet } | undefined;
  readonly up: readonly UnetBlock[];
  readonly norm: GroupNorm;
  readonly convOut: Conv2d;
  /** What happens to a sample first. */
  readonly prepare: (sample: Tensor) => Tensor;
}

export interface UnetInputs {
  /** Noisy latents, `[B, H, W, C]`. */
  readonly sample: Tensor;
  /** Sinusoids of the timesteps, `[B, C0]`: see `timestepEmbedding`. */
  readonly time: Tensor;
  /** Prompt states, `[B, S, D]`. The concept's gradient leaves through here. */
  readonly context: Tensor;
  /** SDXL: the pooled prompt of the second encoder, `[B, P]`. */
  readonly pooled?: Tensor;
  /** SDXL: sinusoids of the sizes, `[B, 6 W]`: see `sizeEmbedding`. */
  readonly sizes?: Tensor;
}

export interface DenoiseOptions {
  /** Sees every block's output. */
  readonly tap?: Tap;
  /**
   * Computes each ResNet and transformer once more on the way back instead of keeping what is in it: a third more work for a
   * fraction of the memory.
   * @defaultValue false
   */
  readonly recompute?: boolean;
}

/**
 * Predicts the noise (or what else the scheduler says) in `sample`.
 * @returns `[B, H, W, C]`
 * @see Rombach et al. 2022, arXiv 2112.10752; Podell et al. 2023, arXiv 2307.01952 (SDXL)
 */
export function denoise(p: Unet, { sample, context, ...conditions }: UnetInputs, options: DenoiseOptions = {}): Tensor {
  const { tap, recompute = false } = options;
  const time = silu(timeEmbedding(p, conditions, tap)); // [B, E]; every ResNet takes it activated
  const around: Surroundings = { time, context, run: recompute ? checkpointed : (block, inputs) => block(...inputs) };
  let x = tapped(tap, 'conv_in', conv2d(p.convIn, p.prepare(sample)));

  const skips = [x];
  for (const [i, block] of p.down.entries()) {
    const name = `down_blocks.${i}`;
    for (const [j, layer] of block.layers.entries())
      skips.push((x = unetLayer(layer, x, around, tapBelow(tap, name), j)));
    if (block.resample) skips.push((x = conv2d(block.resample, x)));
    tap?.(name, x);
  }
  if (p.middle) {
    x = unetLayer(p.middle.enter, x, around, tapBelow(tap, 'mid_block'), 0);
    x = tapped(tap, 'mid_block', timedResnet(p.middle.leave, x, around));
  }
  for (const [i, block] of p.up.entries()) {
    const name = `up_blocks.${i}`;
    for (const [j, layer] of block.layers.entries()) {
      x = unetLayer(layer, concatChannels([x, lastOf(skips)]), around, tapBelow(tap, name), j);
      skips.pop();
    }
    if (block.resample) x = conv2d(block.resample, upsampleNearest(x, sizeOf(lastOf(skips))));
    tap?.(name, x);
  }
  return conv2d(p.convOut, silu(tapped(tap, 'conv_norm_out', groupNorm(p.norm, x))));
}

/** What every layer sees beside its input, and how blocks are run. */
interface Surroundings {
  readonly time: Tensor;
  readonly context: Tensor;
  readonly run: typeof checkpointed;
}

/** A ResNet and the transformer behind it. `[B, H, W, I]` -> `[B, H, W, O]` */
function unetLayer(p: UnetLayer, x: Tensor, around: Surroundings, tap: Tap | undefined, index: number): Tensor {
  const { transformer } = p;
  const y = tapped(tap, `resnets.${index}`, timedResnet(p.resnet, x, around));
  if (!transformer) return y;
  const name = `attentions.${index}`;
  const attend = (y: Tensor, context: Tensor): Tensor =>
    spatialTransformer(transformer, y, context, tapBelow(tap, name));
  return tapped(tap, name, around.run(attend, [y, around.context]));
}

function timedResnet(p: Resnet, x: Tensor, { time, run }: Surroundings): Tensor {
  return run((x, time) => resnet(p, x, time), [x, time]);
}

/** `[B, E]` */
function timeEmbedding(
  p: Unet,
  { time, pooled, sizes }: Omit<UnetInputs, 'sample' | 'context'>,
  tap: Tap | undefined,
): Tensor {
  const embedding = tapped(tap, 'time_embedding', timeMlp(p.time, time));
  if (!p.addition) return embedding;
  if (!pooled || !sizes)
    throw new TextualInversionError('MODEL_UNSUPPORTED', {
      where: 'unet',
      expected: 'a pooled prompt and sizes',
      found: 'neither',
    });
  return add(embedding, timeMlp(p.addition, concatChannels([pooled, sizes])));
}

function timeMlp(p: TimeMlp, x: Tensor): Tensor {
  return linear(p.second, silu(linear(p.first, x)));
}

/** Reads the whole network. @throws WEIGHT_MISSING, WEIGHT_SHAPE */
export function readUnet(scope: Scope, config: UnetConfig): Unet {
  const { groups, epsilon, timeWidth, middle: middleConfig } = config;
  const readLayer = (
    block: Scope,
    index: number,
    shape: UnetBlockConfig,
    inputs: number,
    layers: number,
    outputScale = 1,
  ): UnetLayer => ({
    resnet: readResnet(block.in(`resnets.${index}`), {
      inputs,
      outputs: shape.channels,
      groups,
      epsilon,
      timeWidth,
      outputScale,
    }),
    transformer:
      layers === 0 ? undefined : readSpatialTransformer(block.in(`attentions.${index}`), { ...shape, layers, groups }),
  });

  const first = config.down[0]?.channels ?? 0;
  let channels = first;
  const skips = [first]; // channels of everything that the way up will see again
  const down = config.down.map((shape, i): UnetBlock => {
    const block = scope.in(`down_blocks.${i}`);
    const layers = shape.transformers.map((count, j) => {
      const layer = readLayer(block, j, shape, channels, count);
      skips.push((channels = shape.channels));
      return layer;
    });
    if (!shape.resample) return { layers, resample: undefined };
    skips.push(channels);
    const pad = config.downsamplePad;
    const pads = pad === 0 ? ([0, 1, 0, 1] as const) : ([pad, pad, pad, pad] as const);
    return {
      layers,
      resample: readConv2d(block.in('downsamplers.0.conv'), { inputs: channels, outputs: channels, stride: 2, pads }),
    };
  });

  const readMiddle = (shape: UnetBlockConfig): Unet['middle'] => {
    const block = scope.in('mid_block');
    const leaveShape = {
      inputs: channels,
      outputs: channels,
      groups,
      epsilon,
      timeWidth,
      outputScale: config.middleScale,
    };
    return {
      enter: readLayer(block, 0, shape, channels, shape.transformers[0] ?? 1, config.middleScale),
      leave: readResnet(block.in('resnets.1'), leaveShape),
    };
  };
  const middle = middleConfig && readMiddle(middleConfig);

  const up = config.up.map((shape, i): UnetBlock => {
    const block = scope.in(`up_blocks.${i}`);
    const layers = shape.transformers.map((count, j) => {
      const layer = readLayer(block, j, shape, channels + (skips.pop() ?? 0), count);
      channels = shape.channels;
      return layer;
    });
    return {
      layers,
      resample: shape.resample
        ? readConv2d(block.in('upsamplers.0.conv'), { inputs: channels, outputs: channels })
        : undefined,
    };
  });

  const readTimeMlp = (name: string, inputs: number): TimeMlp => ({
    first: readLinear(scope.in(`${name}.linear_1`), inputs, timeWidth),
    second: readLinear(scope.in(`${name}.linear_2`), timeWidth, timeWidth),
  });
  return {
    convIn: readConv2d(scope.in('conv_in'), { inputs: config.inChannels, outputs: first, kernel: config.kernelIn }),
    time: readTimeMlp('time_embedding', config.time.width),
    addition: config.addition && readTimeMlp('add_embedding', config.addition.inputs),
    down,
    middle,
    up,
    norm: readGroupNorm(scope.in('conv_norm_out'), channels, groups, epsilon),
    convOut: readConv2d(scope.in('conv_out'), {
      inputs: channels,
      outputs: config.outChannels,
      kernel: config.kernelOut,
    }),
    prepare: config.centerInput ? centred : asGiven,
  };
}

/** From [0, 1] to [-1, 1]. */
function centred(sample: Tensor): Tensor {
  return tf.sub(tf.mul(sample, 2), 1);
}

function asGiven(sample: Tensor): Tensor {
  return sample;
}

/** What the next ResNet on the way up sees beside its input. */
function lastOf(skips: readonly Tensor[]): Tensor {
  const skip = skips.at(-1);
  if (!skip) throw new Error('the way up has more ResNets than the way down');
  return skip;
}

function sizeOf(x: Tensor): [number, number] {
  const [, height = 0, width = 0] = x.shape;
  return [height, width];
}
