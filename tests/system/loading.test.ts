import { beforeAll, describe, expect, test } from 'vitest';
import { createEagerRuntime, inspectModel, loadModel } from '../../packages/core/src/index.js';
import type { FileTree, TensorRef } from '../../packages/core/src/platform.js';
import * as tf from '../../packages/core/src/tf.js';
import { readSafetensors } from '../../packages/core/src/weights/safetensors.js';
import { folder } from '../support/folder.js';
import { golden } from '../support/golden.js';
import { memoryFile, replaced } from '../support/memory.js';
import { families, jsonFile, useBackend } from '../support/models.js';

const FAMILY = families.find((name) => name.includes('sd1')) ?? '';
const WEIGHTS = 'unet/diffusion_pytorch_model.safetensors';
const whole = folder(golden(FAMILY));
const load = async (tree: FileTree, options = {}) =>
  loadModel(tree, await createEagerRuntime({ backend: process.env['TI_BACKEND'] ?? 'wasm' }), options);

/** A configuration of the golden model with some keys changed. */
const config = (path: string, changes: object) => ({ [path]: { ...jsonFile(golden(FAMILY, path)), ...changes } });

/** The UNet's weights, spoilt at the tensor of this name. */
async function weights(name: string, spoil: (bytes: Uint8Array, tensor: TensorRef) => void): Promise<Uint8Array> {
  const source = await whole.open(WEIGHTS);
  const bytes = (await source?.read(0, source.size))?.slice() ?? new Uint8Array();
  const tensor = (await readSafetensors(memoryFile(WEIGHTS, bytes))).tensors.get(name);
  if (!tensor) throw new Error(`the golden UNet has no ${name}`);
  spoil(bytes, tensor);
  return bytes;
}

describe('loading a model', () => {
  beforeAll(() => useBackend());

  test('progress over all parts, and nothing is left after dispose', async () => {
    const before = tf.memory().numTensors;
    const seen: { part: string; bytes: number; totalBytes: number }[] = [];
    const model = await load(whole, { onProgress: (progress: (typeof seen)[number]) => void seen.push(progress) });
    expect([...new Set(seen.map(({ part }) => part))]).toEqual(['text_encoder', 'unet', 'vae']);
    const bytes = seen.map((progress) => progress.bytes);
    expect(bytes).toEqual(bytes.toSorted((a, b) => a - b));
    expect(bytes.at(-1)).toBe(seen[0]?.totalBytes);
    expect(tf.memory().numTensors).toBeGreaterThan(before);
    model.dispose();
    expect(tf.memory().numTensors).toBe(before);
  });

  test('the runtime goes with a model that cannot be loaded, wherever it fails', async () => {
    for (const changes of [
      { 'vae/config.json': undefined },
      { [WEIGHTS]: new Uint8Array(9) },
      { [WEIGHTS]: await weights('conv_out.bias', (bytes, { offset }) => bytes.fill(255, offset, offset + 4)) },
    ]) {
      let disposed = 0;
      const runtime = await createEagerRuntime({ backend: process.env['TI_BACKEND'] ?? 'wasm' });
      const counted = { ...runtime, dispose: () => (disposed++, runtime.dispose()) };
      await expect(loadModel(replaced(whole, changes), counted)).rejects.toThrow();
      expect(disposed).toBe(1);
    }
  });

  test('stops when asked', async () => {
    const before = tf.memory().numTensors;
    const stop = new AbortController();
    const loading = load(whole, {
      signal: stop.signal,
      onProgress: ({ part }: { part: string }) => void (part === 'unet' && stop.abort()),
    });
    await expect(loading).rejects.toMatchObject({ code: 'ABORTED' });
    expect(tf.memory().numTensors).toBe(before);
  });

  test.each<[string, string, string, () => Record<string, unknown> | Promise<Record<string, unknown>>]>([
    ['no index', 'MODEL_MISSING_FILE', 'model_index.json', () => ({ 'model_index.json': undefined })],
    ['no weights', 'MODEL_MISSING_FILE', 'unet', () => ({ [WEIGHTS]: undefined })],
    ['no configuration', 'MODEL_MISSING_FILE', 'vae/config.json', () => ({ 'vae/config.json': undefined })],
    ['no scheduler', 'MODEL_MISSING_FILE', 'scheduler', () => ({ 'scheduler/scheduler_config.json': undefined })],
    ['no vocabulary', 'MODEL_MISSING_FILE', 'tokenizer', () => ({ 'tokenizer/vocab.json': undefined })],
    ['an index that is no JSON', 'MODEL_CONFIG', 'model_index.json', () => ({ 'model_index.json': new Uint8Array(9) })],
    [
      'a pipeline of another class',
      'MODEL_UNSUPPORTED',
      'FluxPipeline',
      () => config('model_index.json', { _class_name: 'FluxPipeline' }),
    ],
    [
      'a UNet of another class',
      'MODEL_UNSUPPORTED',
      'FluxTransformer2DModel',
      () => config('unet/config.json', { _class_name: 'FluxTransformer2DModel' }),
    ],
    [
      'a scheduler of another class',
      'MODEL_UNSUPPORTED',
      'KarrasVeScheduler',
      () => config('scheduler/scheduler_config.json', { _class_name: 'KarrasVeScheduler' }),
    ],
    [
      'more layers than any model has',
      'MODEL_CONFIG',
      'layers_per_block',
      () => config('unet/config.json', { layers_per_block: 1e9 }),
    ],
    ['an inpainting UNet', 'WEIGHT_SHAPE', 'unet.conv_in.weight', () => config('unet/config.json', { in_channels: 9 })],
    [
      'weights that lack a tensor',
      'WEIGHT_MISSING',
      'unet.conv_in.bias',
      async () => ({
        [WEIGHTS]: await weights('conv_in.bias', (bytes) => replaceText(bytes, '"conv_in.bias"', '"conv_in.bios"')),
      }),
    ],
    [
      'weights that are cut',
      'WEIGHT_FORMAT',
      WEIGHTS,
      async () => ({ [WEIGHTS]: (await weights('conv_in.bias', () => {})).slice(0, -4) }),
    ],
  ])('refuses %s without reading a number: %s', async (_, code, message, files) => {
    const before = tf.memory().numTensors;
    const loading = load(replaced(whole, await files()));
    await expect(loading).rejects.toMatchObject({ code, message: expect.stringContaining(message) });
    expect(tf.memory().numTensors).toBe(before);
  });

  test('looking into a folder refuses what loading it refuses', async () => {
    const tree = replaced(whole, config('vae/config.json', { latent_channels: 5 }));
    const found = await inspectModel(tree).catch((error: unknown) => error);
    expect(found).toMatchObject({ code: 'WEIGHT_SHAPE' });
    await expect(load(tree)).rejects.toEqual(found);
  });

  test('refuses a number that is none, and says where it is', async () => {
    const before = tf.memory().numTensors;
    const spoilt = await weights('conv_out.bias', (bytes, { offset, length }) =>
      bytes.fill(255, offset + length - 4, offset + length),
    );
    await expect(load(replaced(whole, { [WEIGHTS]: spoilt }))).rejects.toMatchObject({
      code: 'WEIGHT_NOT_FINITE',
      message: expect.stringContaining('conv_out.bias'),
    });
    expect(tf.memory().numTensors).toBe(before);
  });
});

/** Writes a text of the same length over the first one found. */
function replaceText(bytes: Uint8Array, from: string, to: string): void {
  const wanted = new TextEncoder().encode(from);
  const at = bytes.findIndex((_, i) => wanted.every((byte, k) => bytes[i + k] === byte));
  bytes.set(new TextEncoder().encode(to), at);
}
