import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { DiffusionModel, InvertOptions, Picture } from '../../packages/core/src/index.js';
import { createNoiseSchedule } from '../../packages/core/src/schedules/noise.js';
import * as tf from '../../packages/core/src/tf.js';
import { adamwStep, createAdamWState } from '../../packages/core/src/training/adamw.js';
import { minSnrWeight } from '../../packages/core/src/training/loss.js';
import { readSafetensors } from '../../packages/core/src/weights/safetensors.js';
import { expectClose } from '../support/golden.js';
import { bytesSource, OPTIONS, recordSteps, runInversion, stripes } from '../support/inversion.js';
import { loadGoldenModel } from '../support/model.js';
import { families } from '../support/models.js';

/** The smallest family, and SDXL, which trains the rows of two encoders. */
const FAMILIES = families.filter((name) => /sd1|sdxl/.test(name));

describe.each(FAMILIES)('learning a word on %s', (family) => {
  let model: DiffusionModel;
  beforeAll(async () => void (model = await loadGoldenModel(family)));
  afterAll(() => model.dispose());

  test('the same seed gives the same bytes, and another seed others', async () => {
    const options = { steps: 3, vectors: 2, initializer: { random: true } } as const;
    const [first, second, other] = [
      await runInversion(model, options),
      await runInversion(model, options),
      await runInversion(model, { ...options, seed: 1 }),
    ];
    expect(second.checkpoints.get(3)).toEqual(first.checkpoints.get(3));
    expect(second.concept).toEqual(first.concept);
    expect(other.concept.rows).not.toEqual(first.concept.rows);
    expect(first.concept.rows.map(({ shape }) => shape)).toEqual(
      model.textEncoders.map(({ table }) => [2, table.width]),
    );
  });

  test.each([1, 2])(
    'a run that goes on from its middle ends with the same bytes, %i batches per step',
    async (parts) => {
      const options = {
        steps: 10,
        gradientAccumulation: parts,
        checkpointEverySteps: 5,
        flip: true,
        crop: 'random',
      } as const;
      const whole = await runInversion(model, options);
      const middle = whole.checkpoints.get(5) ?? new Uint8Array();
      const rest = await runInversion(model, { ...options, resume: bytesSource(middle) });
      expect(rest.reports.map(({ step }) => step)).toEqual([6, 7, 8, 9, 10]);
      expect(rest.reports.map(({ loss }) => loss)).toEqual(whole.reports.slice(5).map(({ loss }) => loss));
      expect(rest.concept).toEqual(whole.concept);
      expect(rest.checkpoints.get(10)).toEqual(whole.checkpoints.get(10));
    },
  );

  test('a run that is stopped leaves a checkpoint to go on from', async () => {
    const options = { steps: 4, learningRateShape: 'cosine', warmupSteps: 1 } as const;
    const whole = await runInversion(model, options);
    const stop = new AbortController();
    let [saved, at] = [new Uint8Array(), 0];
    const stopped = runInversion(model, options, {
      signal: stop.signal,
      onStep: ({ step }) => void (step === 2 && stop.abort()),
      onCheckpoint: (bytes, step) => void ([saved, at] = [new Uint8Array(bytes), step]),
    });
    await expect(stopped).rejects.toMatchObject({ code: 'ABORTED' });
    expect(at).toBe(2);
    const rest = await runInversion(model, { ...options, resume: bytesSource(saved) });
    expect(rest.concept).toEqual(whole.concept);
  });

  test('a run that fails hands over what it learned', async () => {
    let at = 0;
    const failed = runInversion(
      model,
      { steps: 4, checkpointEverySteps: 0 },
      {
        onStep: ({ step }) => {
          if (step === 2) throw new Error('no room for a preview');
        },
        onCheckpoint: (_, step) => void (at = step),
      },
    );
    await expect(failed).rejects.toThrow('no room for a preview');
    expect(at).toBe(2);
  });

  test('a checkpoint that cannot be kept does not hide why a run ended', async () => {
    const hooks = {
      onStep: () => {
        throw new Error('the first');
      },
      onCheckpoint: () => Promise.reject(new Error('the second')),
    };
    await expect(runInversion(model, { steps: 2, checkpointEverySteps: 0 }, hooks)).rejects.toThrow('the first');
  });

  test.each<[string, Partial<InvertOptions>]>([
    ['as they are', {}],
    ['several batches per step', { gradientAccumulation: 3 }],
    ['gradients that are shortened', { gradientAccumulation: 2, maxGradientNorm: 1e-4 }],
    ['gradients that are short enough', { maxGradientNorm: 1e4 }],
    ['rows that decay', { weightDecay: 0.5 }],
  ])('every step is AdamW along the mean of its gradients: %s', async (_, options) => {
    const { gradientAccumulation: parts = 1, maxGradientNorm = 0, weightDecay = 0 } = options;
    const { recorded, calls } = recordSteps(model);
    const { reports, checkpoints } = await runInversion(recorded, {
      ...options,
      steps: 2,
      vectors: 2,
      initializer: { random: true },
    });
    expect(calls).toHaveLength(2 * parts);
    const file = await readSafetensors(bytesSource(checkpoints.get(2) ?? new Uint8Array()));
    const saved = async (name: string) => {
      const ref = file.tensors.get(name);
      const bytes = await ref?.source.read(ref.offset, ref.length);
      return new Float32Array(bytes?.buffer ?? new ArrayBuffer());
    };

    let rows = model.textEncoders.map((_, i) => calls[0]?.inputs[`rows.${i}`]?.data ?? new Float32Array());
    let states = rows.map(({ length }) => createAdamWState(length));
    for (const [s, report] of reports.entries()) {
      const own = calls.slice(s * parts, (s + 1) * parts);
      const mean = (name: string) => {
        const given = own.map(({ outputs }) => outputs[name]?.data ?? new Float32Array());
        return Float32Array.from(
          given[0] ?? [],
          (_, k) => given.reduce((sum, data) => sum + (data[k] ?? 0), 0) / parts,
        );
      };
      const gradients = rows.map((_, i) => mean(`rows.${i}`));
      const norm = Math.hypot(...gradients.flatMap((gradient) => [...gradient]));
      expectClose([report.loss, report.gradientNorm], [mean('loss')[0] ?? Number.NaN, norm], 1e-5, 'loss and norm');
      const scale = maxGradientNorm > 0 ? Math.min(1, maxGradientNorm / (norm + 1e-6)) : 1;
      const stepped = rows.map((params, i) => {
        for (const { inputs } of own)
          expectClose(inputs[`rows.${i}`]?.data ?? [], params, 1e-5, `rows ${i} of step ${s}`);
        const gradient = gradients[i]?.map((value) => value * scale) ?? new Float32Array();
        const { learningRate } = OPTIONS;
        return adamwStep(states[i] ?? createAdamWState(0), params, gradient, { learningRate, weightDecay });
      });
      [rows, states] = [stepped.map(({ params }) => params), stepped.map(({ state }) => state)];
    }
    for (const [i, data] of rows.entries()) {
      expectClose(await saved(`rows.${i}`), data, 1e-5, `rows ${i}`);
      expectClose(await saved(`first.${i}`), states[i]?.first ?? [], 1e-5, `mean of gradients ${i}`);
      expectClose(await saved(`second.${i}`), states[i]?.second ?? [], 1e-5, `mean of squares ${i}`);
    }
  });

  test.each([0, 0.5])('pictures weigh as their timesteps say, min-SNR %s', async (minSnrGamma) => {
    const { recorded, calls } = recordSteps(model);
    const { reports } = await runInversion(recorded, { steps: 1, batchSize: 8, minSnrGamma });
    const { noise, prediction } = model.scheduler;
    const { alphasCumprod } = createNoiseSchedule(noise);
    const weights = reports[0]?.timesteps.map((t) =>
      minSnrGamma > 0 ? minSnrWeight(prediction, alphasCumprod[t] ?? Number.NaN, minSnrGamma) : 1,
    );
    expectClose(calls[0]?.inputs['weights']?.data ?? [], weights ?? [], 1e-6, 'weights');
    expect(Math.min(...(weights ?? [])) < 1).toBe(minSnrGamma > 0);
  });

  test('no tensor stays behind', async () => {
    const before = tf.memory().numTensors;
    await runInversion(model, { steps: 2, minSnrGamma: 5, maxGradientNorm: 1 });
    expect(tf.memory().numTensors).toBe(before);
    const stop = new AbortController();
    stop.abort();
    await expect(runInversion(model, {}, { signal: stop.signal })).rejects.toMatchObject({ code: 'ABORTED' });
    expect(tf.memory().numTensors).toBe(before);
  });
});

describe('learning a word', () => {
  let model: DiffusionModel;
  beforeAll(async () => void (model = await loadGoldenModel(FAMILIES[0] ?? '')));
  afterAll(() => model.dispose());

  test('one picture is learned: with the same noise, the learned word predicts it better than the first', async () => {
    const pictures = [stripes(4)];
    const learned = await runInversion(model, { steps: 30, learningRate: 2e-2, vectors: 4 }, { pictures });
    expect(learned.reports.at(-1)?.moved).toBeGreaterThan(0.05);
    /** Mean loss over the same draws, with steps too short to move anything. */
    const lossFrom = async (initializer: InvertOptions['initializer']) => {
      const options = { initializer, vectors: 4, steps: 8, batchSize: 2, learningRate: 1e-12, seed: 7 };
      const { reports } = await runInversion(model, options, { pictures });
      return reports.reduce((sum, { loss }) => sum + loss, 0) / reports.length;
    };
    expect(await lossFrom(learned.concept)).toBeLessThan(0.98 * (await lossFrom('cat')));
  });

  test('reports say what happened', async () => {
    const seen: [number, number][] = [];
    const { reports } = await runInversion(
      model,
      {
        steps: 3,
        batchSize: 2,
        learningRate: 1e-2,
        learningRateShape: 'linear',
        warmupSteps: 1,
        scaleLearningRate: true,
      },
      { onEncode: (done, total) => void seen.push([done, total]) },
    );
    expect(seen).toEqual([
      [1, 2],
      [2, 2],
    ]);
    expect(reports.map(({ learningRate }) => learningRate)).toEqual([0, 2e-2, 1e-2]);
    for (const { step, steps, loss, seconds, gradientNorm, timesteps, moved } of reports) {
      expect(steps).toBe(3);
      expect(loss).toBeGreaterThan(0);
      expect(seconds).toBeGreaterThan(0);
      expect(gradientNorm).toBeGreaterThan(0);
      expect(timesteps).toHaveLength(2);
      expect(moved > 0).toBe(step > 1);
    }
  });

  test('a loss that is no number ends the run, and says where', async () => {
    const run = runInversion(model, { steps: 3, learningRate: 1e38 });
    await expect(run).rejects.toMatchObject({ code: 'LOSS_NOT_FINITE', details: { step: 2, seed: 0 } });
  });

  test('captions: each picture its own, and the word is put in where it is missing', async () => {
    const warnings: string[] = [];
    await runInversion(
      model,
      { steps: 1, captions: ['{} on stripes', 'a photo of stripes'] },
      { onWarning: (message) => void warnings.push(message) },
    );
    expect(warnings).toEqual([expect.stringContaining('a photo of stripes')]);
  });

  const refused: [string, string, Partial<InvertOptions>, Picture[]?][] = [
    ['no pictures', 'IMAGE_NONE', {}, []],
    ['a picture without colours', 'IMAGE_FORMAT', {}, [{ ...stripes(4), shape: [64, 64, 1] }]],
    ['an empty word', 'TOKEN_INVALID', { token: '' }],
    ['a word with spaces', 'TOKEN_INVALID', { token: 'my cat' }],
    ['a word that is known', 'TOKEN_EXISTS', { token: 'cat' }],
    ['no initializer', 'INITIALIZER_INVALID', { initializer: '' }],
    ['more tokens than rows', 'INITIALIZER_INVALID', { initializer: 'a tabby cat', vectors: 2 }],
    [
      'a concept of another width',
      'CONCEPT_WIDTH',
      { initializer: { token: '<x>', rows: [{ data: new Float32Array(7), shape: [1, 7] }], info: {} } },
    ],
    ['no steps', 'OPTION_INVALID', { steps: 0 }],
    ['half a picture per step', 'OPTION_INVALID', { batchSize: 0.5 }],
    ['a negative learning rate', 'OPTION_INVALID', { learningRate: -1 }],
    ['a learning rate that is none', 'OPTION_INVALID', { learningRate: Number.NaN }],
    ['a seed below zero', 'OPTION_INVALID', { seed: -1 }],
    ['a template without a place', 'OPTION_INVALID', { templates: ['a photo'] }],
    ['a template too long', 'PROMPT_TOO_LONG', { templates: [`${'very '.repeat(80)}{}`] }],
    ['a size the autoencoder cannot take', 'SIZE_INVALID', { sizePx: 63 }],
    ['a checkpoint that is none', 'CHECKPOINT_CORRUPT', { resume: bytesSource(new Uint8Array(100)) }],
  ];
  test.each(refused)('%s: %s', async (_, code, options, pictures) => {
    const before = tf.memory().numTensors;
    await expect(runInversion(model, options, { pictures })).rejects.toMatchObject({ code });
    expect(tf.memory().numTensors).toBe(before);
  });

  test('a checkpoint of another run, and a damaged one', async () => {
    const { checkpoints } = await runInversion(model, { steps: 1 });
    const bytes = checkpoints.get(1) ?? new Uint8Array();
    const resumed = (options: Partial<InvertOptions>, pictures?: Picture[]) =>
      runInversion(model, { steps: 2, resume: bytesSource(bytes), ...options }, { pictures });
    for (const options of [{ seed: 5 }, { batchSize: 2 }, { token: '<that>' }, { templates: ['a {}'] }, { flip: true }])
      await expect(resumed(options)).rejects.toMatchObject({ code: 'CHECKPOINT_MISMATCH' });
    await expect(resumed({}, [stripes(5)])).rejects.toMatchObject({ code: 'CHECKPOINT_MISMATCH' });
    await expect(resumed({ resume: bytesSource(bytes.slice(0, -8)) })).rejects.toMatchObject({
      code: 'CHECKPOINT_CORRUPT',
    });
    const notFinite = Uint8Array.from(bytes);
    notFinite.fill(255, -4);
    await expect(resumed({ resume: bytesSource(notFinite) })).rejects.toMatchObject({ code: 'CHECKPOINT_CORRUPT' });
  });
});
