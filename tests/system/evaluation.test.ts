import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  createEagerRuntime,
  type DiffusionModel,
  type EvaluateOptions,
  evaluate,
  loadClip,
  loadModel,
} from '../../packages/core/src/index.js';
import * as tf from '../../packages/core/src/tf.js';
import { listPictures, readPicture } from '../../packages/node/src/pictures.js';
import { folder } from '../support/folder.js';
import { replaced } from '../support/memory.js';
import { loadGoldenModel } from '../support/model.js';
import { families, jsonFile, useBackend } from '../support/models.js';

const path = (name: string) => fileURLToPath(new URL(`../../${name}`, import.meta.url));
const pictures = async (name: string) =>
  Promise.all((await listPictures(path(name))).map((picture) => readPicture(picture)));

describe('evaluating a concept on the embedded model', () => {
  const tree = folder(path('packages/tiny-model'));
  let model: DiffusionModel;
  beforeAll(async () => {
    await import('@tensorflow/tfjs-backend-wasm');
    model = await loadModel(tree, await createEagerRuntime({ backend: 'wasm' }));
  });
  afterAll(() => model.dispose());

  test('its CLIP tells pictures and words apart', async () => {
    const clip = await loadClip(tree, model.runtime);
    const before = tf.memory().numTensors;
    const [bumbu, foxi] = [await pictures('examples/concepts/bumbu'), await pictures('examples/concepts/foxi')];
    const near = (a: Float32Array | undefined, b: Float32Array | undefined) =>
      a?.reduce((sum, value, i) => sum + value * (b?.[i] ?? 0), 0) ?? Number.NaN;
    const [mine, other] = [await clip.embedPictures(bumbu), await clip.embedPictures(foxi)];
    expect(near(mine[0], mine[0])).toBeCloseTo(1, 5);
    expect(near(mine[0], mine[1])).toBeGreaterThan(near(mine[0], other[1]));
    const [right, wrong] = await clip.embedTexts([
      'a photo of a yellow striped monster',
      'a photo of a purple spotted monster',
    ]);
    expect(near(mine[0], right)).toBeGreaterThan(near(mine[0], wrong));
    expect(tf.memory().numTensors).toBe(before);
    clip.dispose();
    expect(tf.memory().numTensors).toBeLessThan(before);
  });

  test('numbers, progress and refusals', async () => {
    const before = tf.memory().numTensors;
    const clip = await loadClip(tree, model.runtime);
    const [table] = model.textEncoders.map((encoder) => encoder.table);
    const width = table?.width ?? 0;
    const options: EvaluateOptions = {
      concept: { token: '<bumbu>', rows: [{ data: new Float32Array(width), shape: [1, width] }], info: {} },
      pictures: await pictures('examples/concepts/bumbu'),
      caption: 'a photo of a yellow striped monster',
      edits: ['a photo of {} on a blue background'],
      count: 2,
      steps: 2,
    };
    const seen: number[] = [];
    const found = await evaluate(model, clip, { ...options, onProgress: (done) => void seen.push(done) });
    expect(seen).toEqual([1, 2, 3, 4, 5, 6]);
    for (const value of [
      found.imageSimilarity,
      found.captionSimilarity,
      found.picturesSimilarity,
      found.textSimilarity,
    ])
      expect(Math.abs(value ?? Number.NaN)).toBeLessThan(1);
    expect(found.edits).toHaveLength(1);
    await expect(evaluate(model, clip, { ...options, pictures: [] })).rejects.toMatchObject({ code: 'IMAGE_NONE' });
    await expect(evaluate(model, clip, { ...options, edits: ['no place'] })).rejects.toMatchObject({
      code: 'OPTION_INVALID',
    });
    const stopped = { signal: AbortSignal.abort() };
    await expect(evaluate(model, clip, { ...options, ...stopped })).rejects.toMatchObject({ code: 'ABORTED' });
    await expect(clip.embedPictures(options.pictures, stopped.signal)).rejects.toMatchObject({ code: 'ABORTED' });
    clip.dispose();
    expect(tf.memory().numTensors).toBe(before);
    await expect(loadClip(tree, model.runtime, stopped)).rejects.toMatchObject({ code: 'ABORTED' });
    expect(tf.memory().numTensors).toBe(before);
  });
});

describe('folders of a CLIP', () => {
  const tree = folder(path('packages/tiny-model'));
  beforeAll(() => useBackend());
  const load = async (files: Readonly<Record<string, unknown>>) =>
    loadClip(replaced(tree, files), await createEagerRuntime({ backend: tf.getBackend() }));
  const json = (name: string) => jsonFile(path(`packages/tiny-model/${name}`));

  test('pictures are prepared as for the first CLIP where the folder does not say how', async () => {
    const [picture] = await pictures('examples/concepts/bumbu');
    const embedded = async (files: Readonly<Record<string, unknown>>) => {
      const clip = await load(files);
      const [vector] = await clip.embedPictures(picture ? [picture] : []);
      clip.dispose();
      return vector;
    };
    const preprocessor = 'feature_extractor/preprocessor_config.json';
    const first = { image_mean: [0.48145466, 0.4578275, 0.40821073], image_std: [0.26862954, 0.26130258, 0.27577711] };
    expect(await embedded({ [preprocessor]: undefined })).toEqual(
      await embedded({ [preprocessor]: { ...json(preprocessor), ...first } }),
    );
  });

  test.each<[string, string, string, () => Promise<Record<string, unknown>> | Record<string, unknown>]>([
    [
      'pictures of another size',
      'MODEL_CONFIG',
      'crop_size',
      () => ({ 'feature_extractor/preprocessor_config.json': { size: 64, crop_size: 64 } }),
    ],
    [
      'halves of different models',
      'MODEL_CONFIG',
      'projection_dim',
      () => ({ 'clip_text_encoder/config.json': { ...json('clip_text_encoder/config.json'), projection_dim: 7 } }),
    ],
    [
      'a number that is none, and leaves nothing behind',
      'WEIGHT_NOT_FINITE',
      'image_encoder',
      async () => {
        const source = await tree.open('image_encoder/model.safetensors');
        const bytes = (await source?.read(0, source.size))?.slice();
        return { 'image_encoder/model.safetensors': bytes?.fill(255, -4) };
      },
    ],
  ])('refuses %s: %s', async (_, code, message, files) => {
    const before = tf.memory().numTensors;
    await expect(load(await files())).rejects.toMatchObject({ code, message: expect.stringContaining(message) });
    expect(tf.memory().numTensors).toBe(before);
  });
});

test('a model without a CLIP of its own', async () => {
  const model = await loadGoldenModel(families[0] ?? '');
  await expect(loadClip(folder(model.name), model.runtime)).rejects.toMatchObject({ code: 'MODEL_MISSING_FILE' });
  model.dispose();
});
