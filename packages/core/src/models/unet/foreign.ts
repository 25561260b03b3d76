import { ForeignConfig } from '../foreign-config.js';
import type { UnetBlockConfig, UnetConfig } from './config.js';

const CROSS_DOWN = 'CrossAttnDownBlock2D';
const CROSS_UP = 'CrossAttnUpBlock2D';
const CROSS_MIDDLE = 'UNetMidBlock2DCrossAttn';

/** More than any model has: lists are made of as many. */
const MAX_LAYERS = 64;

/** Keys that change the arithmetic in a way we do not compute, with the values that leave it alone. */
const PLAIN = {
  only_cross_attention: false,
  dual_cross_attention: false,
  encoder_hid_dim: undefined,
  encoder_hid_dim_type: undefined,
  num_attention_heads: undefined,
  class_embed_type: undefined,
  num_class_embeds: undefined,
  class_embeddings_concat: false,
  resnet_time_scale_shift: 'default',
  resnet_skip_time_act: false,
  resnet_out_scale_factor: 1,
  time_embedding_type: 'positional',
  time_embedding_act_fn: undefined,
  timestep_post_act: undefined,
  time_cond_proj_dim: undefined,
  attention_type: 'default',
  mid_block_only_cross_attention: undefined,
  cross_attention_norm: undefined,
};

/**
 * Reads a diffusers `config.json` of a UNet2DConditionModel, of any age: keys that are absent have the library's defaults.
 * Its quirks end here: `attention_head_dim` holds the number of heads, not their width; `transformer_layers_per_block` is a number, a list
 * per level, or a list of lists; blocks on the way up have one ResNet more and are listed from the inside out.
 * @param where - For messages, such as `unet/config.json`.
 * @throws MODEL_CONFIG, MODEL_UNSUPPORTED
 */
export function readUnetConfig(json: unknown, where: string): UnetConfig {
  const config = new ForeignConfig(where, json);
  config.oneOf('_class_name', ['UNet2DConditionModel'], 'UNet2DConditionModel');
  config.oneOf('act_fn', ['silu', 'swish'], 'silu');
  config.only(PLAIN);

  const channels = config.counts('block_out_channels', [320, 640, 1280, 1280]);
  const levels = channels.length;
  const last = levels - 1;
  const downTypes = blockTypes(
    config,
    'down_block_types',
    [CROSS_DOWN, CROSS_DOWN, CROSS_DOWN, 'DownBlock2D'],
    [CROSS_DOWN, 'DownBlock2D'],
    levels,
  );
  const upTypes = blockTypes(
    config,
    'up_block_types',
    ['UpBlock2D', CROSS_UP, CROSS_UP, CROSS_UP],
    [CROSS_UP, 'UpBlock2D'],
    levels,
  );
  const middleType =
    config.value('mid_block_type') === undefined && hasKey(json, 'mid_block_type')
      ? undefined
      : config.oneOf('mid_block_type', [CROSS_MIDDLE], CROSS_MIDDLE);
  const resnets = config.perLevel('layers_per_block', levels, 2);
  if (resnets.some((count) => count > MAX_LAYERS))
    throw config.wrong('layers_per_block', `at most ${MAX_LAYERS}`, resnets);
  const heads = config.perLevel('attention_head_dim', levels, 8);
  const contextWidths = config.perLevel('cross_attention_dim', levels, 1280);
  const transformers = layersPerResnet(config, 'transformer_layers_per_block', resnets);
  const ofLevel = (level: number, layers: readonly number[], attends: boolean, resample: boolean): UnetBlockConfig => ({
    channels: channels[level] ?? 0,
    transformers: attends ? layers : layers.map(() => 0),
    heads: heads[level] ?? 1,
    contextWidth: contextWidths[level] ?? 0,
    resample,
  });
  const up = upLayers(config, transformers, resnets);
  const timeWidth = config.count('time_embedding_dim', (channels[0] ?? 0) * 4);
  const sinusoid = { cosineFirst: config.flag('flip_sin_to_cos', true), shift: config.number('freq_shift', 0) };
  const addition =
    config.value('addition_embed_type') === undefined
      ? undefined
      : config.oneOf('addition_embed_type', ['text_time'], 'text_time');
  return {
    inChannels: config.count('in_channels', 4),
    outChannels: config.count('out_channels', 4),
    sampleSize: config.count('sample_size', 64),
    down: downTypes.map((type, i) => ofLevel(i, transformers[i] ?? [], type === CROSS_DOWN, i < last)),
    middle: middleType && ofLevel(last, (transformers[last] ?? []).slice(0, 1), true, false),
    up: upTypes.map((type, i) => ofLevel(last - i, up[i] ?? [], type === CROSS_UP, i < last)),
    groups: config.count('norm_num_groups', 32),
    epsilon: config.number('norm_eps', 1e-5),
    time: { width: channels[0] ?? 0, ...sinusoid },
    timeWidth,
    addition: addition && {
      sinusoid: { width: config.count('addition_time_embed_dim'), ...sinusoid },
      inputs: config.count('projection_class_embeddings_input_dim'),
    },
    kernelIn: config.count('conv_in_kernel', 3),
    kernelOut: config.count('conv_out_kernel', 3),
    downsamplePad: config.number('downsample_padding', 1),
    centerInput: config.flag('center_input_sample', false),
    middleScale: config.number('mid_block_scale_factor', 1),
  };
}

function blockTypes(
  config: ForeignConfig,
  key: string,
  fallback: readonly string[],
  known: readonly string[],
  levels: number,
): string[] {
  const types = config.texts(key, fallback);
  const foreign = types.find((type) => !known.includes(type));
  if (foreign !== undefined) throw config.unsupported(key, known.join(' or '), foreign);
  if (types.length !== levels) throw config.wrong(key, `${levels} blocks, as many as block_out_channels`, types);
  return types;
}

/** Per level, one number of transformer layers for each ResNet. */
function layersPerResnet(config: ForeignConfig, key: string, resnets: readonly number[]): number[][] {
  const value = config.value(key) ?? 1;
  if (!Array.isArray(value)) return resnets.map((count) => Array.from({ length: count }, () => config.count(key, 1)));
  if (value.length !== resnets.length) throw config.wrong(key, `${resnets.length} entries, one per level`, value);
  return resnets.map((count, level) => {
    const entry: unknown = value[level];
    const perResnet: unknown[] = Array.isArray(entry) ? entry : Array.from({ length: count }, () => entry);
    if (perResnet.length !== count || !perResnet.every((n) => Number.isInteger(n) && Number(n) > 0)) {
      throw config.wrong(key, `whole numbers, one per ResNet (${count})`, entry);
    }
    return perResnet.map(Number);
  });
}

/** The same for the way up, from the inside out, where each block has one ResNet more. */
function upLayers(config: ForeignConfig, down: readonly number[][], resnets: readonly number[]): number[][] {
  const counts = resnets.toReversed().map((count) => count + 1);
  if (config.value('reverse_transformer_layers_per_block') !== undefined) {
    return layersPerResnet(config, 'reverse_transformer_layers_per_block', counts);
  }
  const uneven = down.some((layers) => layers.some((n) => n !== layers[0]));
  if (uneven)
    throw config.wrong(
      'reverse_transformer_layers_per_block',
      'a list, because transformer_layers_per_block differs within a level',
      undefined,
    );
  return down.toReversed().map((layers, i) => Array.from({ length: counts[i] ?? 0 }, () => layers[0] ?? 1));
}

function hasKey(json: unknown, key: string): boolean {
  return typeof json === 'object' && json !== null && key in json;
}
