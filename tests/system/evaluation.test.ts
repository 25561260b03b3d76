import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  type Clip,
  createEagerRuntime,
  createPicture,
  type DiffusionModel,
  type EvaluateOptions,
  evaluate,
  generate,
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

describe('what is measured', () => {
  let model: DiffusionModel;
  beforeAll(async () => void (model = await loadGoldenModel(families[0] ?? '')));
  afterAll(() => model.dispose());

  test('pictures against pictures and words, all pairs of them', async () => {
    const width = model.textEncoders[0]?.table.width ?? 0;
    const concept = { token: '<x>', rows: [{ data: new Float32Array(width), shape: [1, width] }], info: {} };
    /** Where the unit vector of a picture or a text points: those of `pictures`, and two for each prompt. */
    const pictures = [0, 1, 2].map((grey) => createPicture(new Uint8Array(3).fill(grey), [1, 1, 3]));
    const angles = new Map(pictures.map(({ data }, i) => [data.join(), [0, 0.3, 1][i]]));
    const drawn: [prompt: string, number, number][] = [
      ['a photo of <x>', 0.5, 1.2],
      ['a thing', 2, 2.7],
      ['a photo of <x> on the beach', 0.1, 0.9],
      ['an old photo of <x>', 1.1, 1.5],
    ];
    for (const [prompt, ...pair] of drawn) {
      for (const [i, angle] of pair.entries()) {
        const { pictures: made } = await generate(model, { concepts: [concept], prompt, seed: 5 + i, steps: 1 });
        angles.set(made[0]?.pixels.data.join() ?? '', angle);
      }
    }
    expect(angles.size).toBe(3 + 2 * drawn.length);
    angles.set('a photo of on the beach', 0.4).set('an old photo of', -0.6);
    const vectors = (shown: readonly string[]) =>
      shown.map((what) => angles.get(what) ?? Number.NaN).map((a) => Float32Array.of(Math.cos(a), Math.sin(a)));
    const clip: Clip = {
      embedPictures: async (shown) => vectors(shown.map(({ data }) => data.join())),
      embedTexts: async (texts) => vectors(texts),
      dispose: () => {},
    };

    const edits = ['a photo of {} on the beach', 'an old photo of {}'];
    const found = await evaluate(model, clip, {
      concept,
      pictures,
      caption: 'a thing',
      edits,
      count: 2,
      seed: 5,
      steps: 1,
    });
    /** Mean cosine of angles between two vectors. */
    const near = (...between: number[]) =>
      expect.closeTo(between.reduce((sum, a) => sum + Math.cos(a), 0) / between.length, 6) as number;
    expect(found).toEqual({
      imageSimilarity: near(0.5, 0.2, 0.5, 1.2, 0.9, 0.2),
      picturesSimilarity: near(0.3, 1, 0.7),
      captionSimilarity: near(2, 1.7, 1, 2.7, 2.4, 1.7),
      edits: [
        { prompt: edits[0], textSimilarity: near(0.3, 0.5) },
        { prompt: edits[1], textSimilarity: near(1.7, 2.1) },
      ],
      textSimilarity: near(0.3, 0.5, 1.7, 2.1),
      count: 2,
      steps: 1,
    });
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
