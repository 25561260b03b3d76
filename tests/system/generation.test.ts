import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Concept, type DiffusionModel, type GenerateOptions, generate } from '../../packages/core/src/index.js';
import * as tf from '../../packages/core/src/tf.js';
import { loadGoldenModel } from '../support/model.js';
import { families } from '../support/models.js';

const FAMILIES = families.filter((name) => /sd1|sdxl/.test(name));

/** Rows of one number each. */
function concept(model: DiffusionModel, token: string, value: number, vectors = 1): Concept {
  const rows = model.textEncoders.map(({ table: { width } }) => ({
    data: new Float32Array(vectors * width).fill(value),
    shape: [vectors, width],
  }));
  return { token, rows, info: {} };
}

describe.each(FAMILIES)('drawing with %s', (family) => {
  let model: DiffusionModel;
  beforeAll(async () => void (model = await loadGoldenModel(family)));
  afterAll(() => model.dispose());
  const draw = async (options: Partial<GenerateOptions>) =>
    (await generate(model, { prompt: 'a cat', steps: 2, ...options })).pictures.map(({ pixels: { data, shape } }) => ({
      data,
      shape,
    }));

  test('the same seed gives the same picture; seed, sampler, guidance and negative prompt all count', async () => {
    const [first] = await draw({ seed: 1 });
    expect(await draw({ seed: 1 })).toEqual([first]);
    for (const other of [{ seed: 2 }, { sampler: 'heun' as const }, { guidanceScale: 1 }, { negativePrompt: 'a dog' }])
      expect(await draw({ seed: 1, ...other })).not.toEqual([first]);
  });

  test.each(['ddim', 'euler-ancestral', 'dpmsolver++'] as const)(
    'each of several pictures is the one that its own seed draws alone: %s',
    async (sampler) => {
      const several = await draw({ seed: 5, count: 3, sampler });
      for (const [i, picture] of several.entries()) {
        const [alone] = await draw({ seed: 5 + i, sampler });
        const off = picture.data.map((value, k) => Math.abs(value - (alone?.data[k] ?? 0)));
        expect(Math.max(...off)).toBeLessThanOrEqual(1); // a batch may round otherwise
      }
    },
  );

  test('a word that looks learned and is not is told', async () => {
    const warningsOf = async (prompt: string) =>
      (await generate(model, { prompt, concepts: [concept(model, '<one>', 0.1)], steps: 1 })).warnings;
    expect(await warningsOf('<one> beside <two>, <two>')).toEqual([expect.stringContaining('called <two>')]);
    expect(await warningsOf('<one>, 1 < 2')).toEqual([]);
  });

  test('guidance is what the caller says, else what the makers of the model advise', async () => {
    const advised = { ...model, hints: { guidanceScale: 3 } };
    const guidance = async (options: Partial<GenerateOptions>) =>
      (await generate(advised, { prompt: 'a cat', steps: 1, ...options })).pictures[0]?.settings.guidanceScale;
    expect(await guidance({})).toBe(3);
    expect(await guidance({ guidanceScale: 2 })).toBe(2);
  });

  test('several concepts in one prompt, each in its place', async () => {
    const [one, two] = [concept(model, '<one>', 0.5), concept(model, '<two>', -0.5, 3)];
    const both = await draw({ prompt: '<one> beside <two>', concepts: [one, two] });
    expect(await draw({ prompt: '<one> beside <two>', concepts: [two, one] })).toEqual(both);
    expect(await draw({ prompt: '<two> beside <one>', concepts: [one, two] })).not.toEqual(both);
    const swapped = [
      { ...one, token: '<two>' },
      { ...two, token: '<one>' },
    ];
    expect(await draw({ prompt: '<one> beside <two>', concepts: swapped })).not.toEqual(both);
  });

  test('several pictures, another size, progress, warnings, and no tensor left', async () => {
    const before = tf.memory().numTensors;
    const steps: [number, number][] = [];
    const { pictures, warnings } = await generate(model, {
      prompt: `a ${'very '.repeat(80)}small cat`,
      concepts: [concept(model, '<one>', 0.1)],
      count: 2,
      widthPx: 64,
      heightPx: 32,
      steps: 3,
      sampler: 'euler',
      onStep: (step, of) => void steps.push([step, of]),
    });
    expect(pictures.map(({ pixels }) => pixels.shape)).toEqual([
      [32, 64, 3],
      [32, 64, 3],
    ]);
    expect(pictures[0]?.pixels.data).not.toEqual(pictures[1]?.pixels.data);
    expect(steps).toEqual([
      [1, 3],
      [2, 3],
      [3, 3],
    ]);
    const facts = { widthPx: 64, heightPx: 32, sampler: 'euler', guidanceScale: 7.5 };
    expect(pictures.map(({ settings }) => settings)).toMatchObject([
      { ...facts, seed: 0 },
      { ...facts, seed: 1 },
    ]);
    expect(warnings).toEqual([expect.stringContaining('cut off'), expect.stringContaining('<one>')]);
    expect(tf.memory().numTensors).toBe(before);
  });

  test('any size in steps of a latent, where halving leaves odd sides', async () => {
    const { downscale } = model.autoencoder.config;
    const [picture] = await draw({ widthPx: 5 * downscale, heightPx: 7 * downscale, steps: 1, guidanceScale: 1 });
    expect(picture?.shape).toEqual([7 * downscale, 5 * downscale, 3]);
    expect(new Set(picture?.data).size).toBeGreaterThan(10);
  });

  test('says what is no model', async () => {
    const forgotten = Promise.resolve(model) as unknown as DiffusionModel;
    await expect(generate(forgotten, { prompt: 'a cat' })).rejects.toMatchObject({
      code: 'OPTION_INVALID',
      message: expect.stringContaining('await loadModel') as string,
    });
    await expect(draw({ concepts: concept(model, '<x>', 0) as never })).rejects.toMatchObject({
      code: 'OPTION_INVALID',
    });
  });

  test('lets timers through, so that whoever wants to stop it can', async () => {
    const drawn = draw({ steps: 500, signal: AbortSignal.timeout(50) });
    await expect(drawn).rejects.toMatchObject({ code: 'ABORTED' });
  });

  test('stops when asked', async () => {
    const before = tf.memory().numTensors;
    const stop = new AbortController();
    const drawn = draw({ steps: 50, signal: stop.signal, onStep: (step) => void (step === 2 && stop.abort()) });
    await expect(drawn).rejects.toMatchObject({ code: 'ABORTED' });
    expect(tf.memory().numTensors).toBe(before);
  });

  test.each<[string, string, Partial<GenerateOptions>]>([
    ['no steps', 'OPTION_INVALID', { steps: 0 }],
    ['no pictures', 'OPTION_INVALID', { count: 0 }],
    ['a seed that is no whole number', 'OPTION_INVALID', { seed: 0.5 }],
    ['guidance below zero', 'OPTION_INVALID', { guidanceScale: -1 }],
    ['a sampler that is none', 'OPTION_INVALID', { sampler: 'eular' as never }],
    ['a size the autoencoder cannot take', 'SIZE_INVALID', { widthPx: 63 }],
    ['no size', 'SIZE_INVALID', { heightPx: 0 }],
    ['a size that no memory holds', 'SIZE_INVALID', { heightPx: 2 ** 20 }],
    ['a prompt that is none', 'OPTION_INVALID', { prompt: undefined as never }],
    ['a negative prompt that is none', 'OPTION_INVALID', { negativePrompt: 5 as never }],
    [
      'a concept of another width',
      'CONCEPT_WIDTH',
      { concepts: [{ token: '<x>', rows: [{ data: new Float32Array(7), shape: [1, 7] }], info: {} }] },
    ],
    ['a prompt that would lose its concept', 'PROMPT_TOO_LONG', { prompt: `${'very '.repeat(80)}<x>` }],
  ])('refuses %s: %s', async (_, code, options) => {
    const before = tf.memory().numTensors;
    await expect(draw({ concepts: [concept(model, '<x>', 0)], ...options })).rejects.toMatchObject({ code });
    expect(tf.memory().numTensors).toBe(before);
  });
});
