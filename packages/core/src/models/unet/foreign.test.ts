import { describe, expect, test } from 'vitest';
import { TextualInversionError } from '../../errors.js';
import { readUnetConfig } from './foreign.js';

const SMALL = {
  block_out_channels: [32, 64],
  down_block_types: ['CrossAttnDownBlock2D', 'DownBlock2D'],
  up_block_types: ['UpBlock2D', 'CrossAttnUpBlock2D'],
};
const read = (json: unknown) => readUnetConfig(json, 'unet/config.json');

/** Code and key of the error that a config causes. */
function refusal(json: unknown): unknown[] {
  try {
    read(json);
  } catch (error) {
    if (error instanceof TextualInversionError) return [error.code, error.details['key']];
    throw error;
  }
  return [];
}

test('an empty config is the default network', () => {
  const config = read({});
  expect(config.down.map(({ channels }) => channels)).toEqual([320, 640, 1280, 1280]);
  expect(config.up.map(({ transformers }) => transformers)).toEqual([
    [0, 0, 0],
    [1, 1, 1],
    [1, 1, 1],
    [1, 1, 1],
  ]);
  expect(config.middle).toMatchObject({ channels: 1280, transformers: [1], heads: 8, contextWidth: 1280 });
  expect(config).toMatchObject({
    epsilon: 1e-5,
    groups: 32,
    timeWidth: 1280,
    time: { width: 320, cosineFirst: true, shift: 0 },
    downsamplePad: 1,
  });
});

describe('quirks', () => {
  test('attention_head_dim holds the number of heads, for all levels or one by one', () => {
    expect(read({ ...SMALL, attention_head_dim: 4 }).down.map(({ heads }) => heads)).toEqual([4, 4]);
    const perLevel = read({ ...SMALL, attention_head_dim: [2, 8] });
    expect(perLevel.down.map(({ heads }) => heads)).toEqual([2, 8]);
    expect(perLevel.up.map(({ heads }) => heads)).toEqual([8, 2]);
    expect(perLevel.middle?.heads).toBe(8);
  });
  test('transformer layers as a number, a list and a list of lists', () => {
    const cross = {
      ...SMALL,
      down_block_types: ['CrossAttnDownBlock2D', 'CrossAttnDownBlock2D'],
      up_block_types: ['CrossAttnUpBlock2D', 'CrossAttnUpBlock2D'],
    };
    expect(read({ ...cross, transformer_layers_per_block: 3 }).up[0]?.transformers).toEqual([3, 3, 3]);
    expect(read({ ...cross, transformer_layers_per_block: [1, 2] }).up.map((block) => block.transformers)).toEqual([
      [2, 2, 2],
      [1, 1, 1],
    ]);
    const nested = {
      ...cross,
      transformer_layers_per_block: [
        [1, 2],
        [4, 4],
      ],
      reverse_transformer_layers_per_block: [
        [4, 4, 7],
        [2, 1, 1],
      ],
    };
    expect(read(nested).down.map((block) => block.transformers)).toEqual([
      [1, 2],
      [4, 4],
    ]);
    expect(read(nested).up.map((block) => block.transformers)).toEqual([
      [4, 4, 7],
      [2, 1, 1],
    ]);
    expect(read(nested).middle?.transformers).toEqual([4]);
    expect(() => read({ ...nested, reverse_transformer_layers_per_block: null })).toThrowError(
      /reverse_transformer_layers_per_block/,
    );
  });
  test('a different number of ResNets per level', () => {
    expect(read({ ...SMALL, layers_per_block: [1, 3] }).up.map(({ transformers }) => transformers.length)).toEqual([
      4, 2,
    ]);
  });
  test('no middle where the file says so', () => {
    expect(read({ ...SMALL, mid_block_type: null }).middle).toBeUndefined();
    expect(read(SMALL).middle).toBeDefined();
  });
});

test.each([
  ['_class_name', 'UNet3DConditionModel'],
  ['act_fn', 'mish'],
  ['class_embed_type', 'timestep'],
  ['addition_embed_type', 'image'],
  ['resnet_time_scale_shift', 'scale_shift'],
  ['only_cross_attention', true],
  ['num_attention_heads', 8],
  ['encoder_hid_dim', 768],
  ['mid_block_type', 'UNetMidBlock2DSimpleCrossAttn'],
  ['down_block_types', ['ResnetDownsampleBlock2D', 'DownBlock2D']],
])('%s: %j is refused by name', (key, value) => {
  expect(refusal({ ...SMALL, [key]: value })).toEqual(['MODEL_UNSUPPORTED', key]);
});

test.each([
  ['block_out_channels', 'wide'],
  ['block_out_channels', [32, -64]],
  ['attention_head_dim', [2, 4, 8]],
  ['norm_eps', 'small'],
  ['down_block_types', ['DownBlock2D']],
  ['transformer_layers_per_block', [1]],
])('%s: %j is no config', (key, value) => {
  expect(refusal({ ...SMALL, [key]: value })).toEqual(['MODEL_CONFIG', key]);
});

test('a file that is no object', () => {
  expect(() => read([1])).toThrowError(expect.objectContaining({ code: 'MODEL_CONFIG' }));
});
