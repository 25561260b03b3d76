import { ForeignConfig } from '../foreign-config.js';
import type { AutoencoderConfig, TinyAutoencoderConfig } from './config.js';

/** What Stable Diffusion 1.x and 2.x multiply latents with; their files do not say it. */
const DEFAULT_SCALING = 0.18215;

/**
 * Reads a diffusers `config.json` of an AutoencoderKL, of any age. `force_upcast` is not read: we always compute in float32.
 * @throws MODEL_CONFIG, MODEL_UNSUPPORTED
 */
export function readAutoencoderConfig(json: unknown, where: string): AutoencoderConfig {
  const config = new ForeignConfig(where, json);
  config.oneOf('_class_name', ['AutoencoderKL'], 'AutoencoderKL');
  config.oneOf('act_fn', ['silu', 'swish'], 'silu');
  config.only({ latents_mean: undefined, latents_std: undefined });
  const channels = config.counts('block_out_channels', [64]);
  for (const [key, type] of [
    ['down_block_types', 'DownEncoderBlock2D'],
    ['up_block_types', 'UpDecoderBlock2D'],
  ] as const) {
    const types = config.texts(key, [type]);
    const foreign = types.find((name) => name !== type);
    if (foreign !== undefined) throw config.unsupported(key, type, foreign);
    if (types.length !== channels.length)
      throw config.wrong(key, `${channels.length} blocks, as many as block_out_channels`, types);
  }
  return {
    inChannels: config.count('in_channels', 3),
    outChannels: config.count('out_channels', 3),
    latentChannels: config.count('latent_channels', 4),
    channels,
    resnets: config.count('layers_per_block', 1),
    groups: config.count('norm_num_groups', 32),
    middleAttention: config.flag('mid_block_add_attention', true),
    quantConv: config.flag('use_quant_conv', true),
    postQuantConv: config.flag('use_post_quant_conv', true),
    scalingFactor: config.number('scaling_factor', DEFAULT_SCALING),
    shiftFactor: config.number('shift_factor', 0),
    downscale: 2 ** (channels.length - 1),
  };
}

/** Reads a diffusers `config.json` of an AutoencoderTiny. @throws MODEL_CONFIG, MODEL_UNSUPPORTED */
export function readTinyAutoencoderConfig(json: unknown, where: string): TinyAutoencoderConfig {
  const config = new ForeignConfig(where, json);
  config.oneOf('_class_name', ['AutoencoderTiny'], 'AutoencoderTiny');
  config.oneOf('act_fn', ['relu'], 'relu');
  config.only({ upsampling_scaling_factor: 2, upsample_fn: 'nearest' });
  const half = (name: string, blocks: readonly number[]) => {
    const half = {
      channels: config.counts(`${name}_block_out_channels`, [64, 64, 64, 64]),
      blocks: config.counts(`num_${name}_blocks`, blocks),
    };
    if (half.blocks.length !== half.channels.length)
      throw config.wrong(`num_${name}_blocks`, `${half.channels.length} numbers`, half.blocks);
    return half;
  };
  return {
    inChannels: config.count('in_channels', 3),
    outChannels: config.count('out_channels', 3),
    latentChannels: config.count('latent_channels', 4),
    encoder: half('encoder', [1, 3, 3, 3]),
    decoder: half('decoder', [3, 3, 3, 1]),
    scalingFactor: config.number('scaling_factor', 1),
    shiftFactor: config.number('shift_factor', 0),
  };
}
