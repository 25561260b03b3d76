import { expect, test } from 'vitest';
import { readAutoencoderConfig, readTinyAutoencoderConfig } from './foreign.js';

const LEVELS = {
  block_out_channels: [16, 32, 32],
  down_block_types: ['DownEncoderBlock2D', 'DownEncoderBlock2D', 'DownEncoderBlock2D'],
  up_block_types: ['UpDecoderBlock2D', 'UpDecoderBlock2D', 'UpDecoderBlock2D'],
};
const read = (json: unknown) => readAutoencoderConfig(json, 'vae/config.json');

test('what files of 2022 leave out', () => {
  expect(read(LEVELS)).toMatchObject({
    scalingFactor: 0.18215,
    shiftFactor: 0,
    quantConv: true,
    postQuantConv: true,
    middleAttention: true,
    downscale: 4,
  });
});

test('force_upcast and null change nothing', () => {
  expect(read({ ...LEVELS, force_upcast: true, shift_factor: null, latents_mean: null })).toEqual(read(LEVELS));
});

test.each([
  [{ _class_name: 'VQModel' }, 'MODEL_UNSUPPORTED'],
  [{ act_fn: 'mish' }, 'MODEL_UNSUPPORTED'],
  [{ latents_mean: [0, 0, 0, 0] }, 'MODEL_UNSUPPORTED'],
  [{ down_block_types: ['AttnDownEncoderBlock2D', 'DownEncoderBlock2D', 'DownEncoderBlock2D'] }, 'MODEL_UNSUPPORTED'],
  [{ up_block_types: ['UpDecoderBlock2D'] }, 'MODEL_CONFIG'],
  [{ scaling_factor: '0.1' }, 'MODEL_CONFIG'],
])('%j is refused', (change, code) => {
  expect(() => read({ ...LEVELS, ...change })).toThrowError(expect.objectContaining({ code }));
});

test('the small autoencoder', () => {
  const tiny = readTinyAutoencoderConfig({ _class_name: 'AutoencoderTiny' }, 'config.json');
  expect(tiny).toMatchObject({
    encoder: { blocks: [1, 3, 3, 3] },
    decoder: { blocks: [3, 3, 3, 1] },
    scalingFactor: 1,
  });
  expect(() => readTinyAutoencoderConfig({ act_fn: 'gelu' }, 'config.json')).toThrowError(
    expect.objectContaining({ code: 'MODEL_UNSUPPORTED' }),
  );
  expect(() => readTinyAutoencoderConfig({ num_encoder_blocks: [1] }, 'config.json')).toThrowError(
    expect.objectContaining({ code: 'MODEL_CONFIG' }),
  );
});
