import { describe, expect, it } from 'vitest';
import { memoryTree } from '../../../../tests/support/memory.js';
import { openCheckpoint } from './checkpoint.js';
import { writeSafetensors } from './safetensors.js';

const weights = (...names: string[]) =>
  writeSafetensors(Object.fromEntries(names.map((name) => [name, { data: Float32Array.of(1), shape: [1] }])));
const stem = 'unet/diffusion_pytorch_model';

describe('openCheckpoint', () => {
  it.each([
    ['full precision of several', ['', '.fp16', '.non_ema'], undefined, ''],
    ['the variant asked for', ['', '.fp16', '.non_ema'], 'fp16', '.fp16'],
    ['the only one', ['.fp16'], undefined, '.fp16'],
    ['full precision by another name', ['.bf16', '.fp16', '.non_ema'], undefined, '.non_ema'],
  ])('takes %s', async (_, there, variant, expected) => {
    const tree = memoryTree(Object.fromEntries(there.map((v) => [`${stem}${v}.safetensors`, weights('a')])));
    expect((await openCheckpoint(tree, 'unet', { variant })).files).toEqual([`${stem}${expected}.safetensors`]);
  });

  it.each([
    ['the index of shards', '.safetensors.index.json', undefined],
    ['a variant in the index', '.safetensors.index.fp16.json', 'fp16'],
    ['a variant before the ending', '.fp16.safetensors.index.json', 'fp16'],
  ])('reads %s', async (_, index, variant) => {
    const tree = memoryTree({
      [`${stem}${index}`]: { weight_map: { a: 'model-1-of-2.safetensors', b: 'model-2-of-2.safetensors' } },
      'unet/model-1-of-2.safetensors': weights('a'),
      'unet/model-2-of-2.safetensors': weights('b'),
    });
    const checkpoint = await openCheckpoint(tree, 'unet', { variant });
    expect([...checkpoint.tensors.keys()]).toEqual(['a', 'b']);
    expect(checkpoint.files).toEqual(['unet/model-1-of-2.safetensors', 'unet/model-2-of-2.safetensors']);
  });

  it('passes by files of other parts, other kinds and other names', async () => {
    const tree = memoryTree({
      'unet_2/model.safetensors': weights('x'),
      'unet/model.onnx': 'x',
      'unet/pytorch_model.bin': 'x',
      'unet/model.safetensors.bak': 'x',
      'unet/model.safetensors': weights('a'),
    });
    expect([...(await openCheckpoint(tree, 'unet')).tensors.keys()]).toEqual(['a']);
  });

  it.each<[string, Record<string, unknown>, string | undefined, string, RegExp]>([
    ['nothing', {}, undefined, 'MODEL_MISSING_FILE', /diffusion_pytorch_model\.safetensors/],
    ['PyTorch files alone', { 'unet/model.bin': 'x' }, undefined, 'MODEL_UNSUPPORTED', /safe_serialization/],
    [
      'a variant that is not there',
      { [`${stem}.safetensors`]: weights('a'), [`${stem}.bf16.safetensors`]: weights('a') },
      'fp16',
      'MODEL_MISSING_FILE',
      /full precision, bf16|bf16, full precision/,
    ],
    [
      'a shard that is not there',
      { [`${stem}.safetensors.index.json`]: { weight_map: { a: 's1.safetensors' } } },
      undefined,
      'MODEL_MISSING_FILE',
      /s1/,
    ],
    [
      'shards outside of the folder',
      { [`${stem}.safetensors.index.json`]: { weight_map: { a: '../../s1.safetensors' } } },
      undefined,
      'WEIGHT_FORMAT',
      /beside/,
    ],
    ['an index of nothing', { [`${stem}.safetensors.index.json`]: {} }, undefined, 'WEIGHT_FORMAT', /weight_map/],
    ['an index that is no JSON', { [`${stem}.safetensors.index.json`]: '{' }, undefined, 'MODEL_CONFIG', /JSON/],
    [
      'a tensor in two shards',
      {
        [`${stem}.safetensors.index.json`]: { weight_map: { a: 's1.safetensors', b: 's2.safetensors' } },
        'unet/s1.safetensors': weights('a', 'b'),
        'unet/s2.safetensors': weights('b'),
      },
      undefined,
      'WEIGHT_FORMAT',
      /b in two/,
    ],
    ['a damaged file', { [`${stem}.safetensors`]: 'weights' }, undefined, 'WEIGHT_FORMAT', /safetensors/],
  ])('refuses %s', async (_, files, variant, code, message) => {
    const outcome = await openCheckpoint(memoryTree(files), 'unet', { variant }).catch((error: unknown) => error);
    expect(outcome).toMatchObject({ code, message: expect.stringMatching(message) });
  });
});
