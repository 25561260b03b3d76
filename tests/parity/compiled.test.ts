import * as ort from 'onnxruntime-node';
import { afterAll, describe, expect, test } from 'vitest';
import { type DiffusionModel, loadModel } from '../../packages/core/src/index.js';
import { sizeEmbedding, timestepEmbedding } from '../../packages/core/src/models/unet/embeddings.js';
import { denoise } from '../../packages/core/src/models/unet/model.js';
import { valueAndGrads } from '../../packages/core/src/nn/gradients.js';
import type { HostTensor } from '../../packages/core/src/platform.js';
import { createNoiseSchedule } from '../../packages/core/src/schedules/noise.js';
import * as tf from '../../packages/core/src/tf.js';
import { adamwStep, createAdamWState } from '../../packages/core/src/training/adamw.js';
import { noisyLatents, predictionTarget } from '../../packages/core/src/training/loss.js';
import { trainingStep } from '../../packages/core/src/training/step.js';
import { createOnnxRuntime } from '../../packages/onnx/src/index.js';
import { folder } from '../support/folder.js';
import { about, expectClose, type GoldenTensor, golden, readTensors } from '../support/golden.js';
import { channelsLast, families, pick } from '../support/models.js';
import { goldenPrompts } from '../support/prompts.js';

/** `TI_PROVIDER` chooses another execution provider; a GPU's arithmetic differs more from the reference's. */
const PROVIDER = process.env['TI_PROVIDER'] ?? 'cpu';
const [FORWARD, GRADIENT, LOSS] = PROVIDER === 'cpu' ? [1e-4, 1e-3, 1e-4] : [1e-3, 1e-2, 1e-3];
const ADAMW = { learningRate: 5e-3, betas: [0.9, 0.999], epsilon: 1e-8, weightDecay: 1e-2 } as const;
const SIZES = [64, 64, 0, 0, 64, 64];

function host({ data, shape }: GoldenTensor): HostTensor {
  return { data: Float32Array.from(data), shape };
}

/** Entry `index` along the first axis. */
function entry({ data, shape: [, ...shape] }: HostTensor, index: number): HostTensor {
  const size = shape.reduce((product, length) => product * length, 1);
  return { data: data.slice(index * size, (index + 1) * size), shape };
}

describe.each(families)('%s, compiled', async (family) => {
  const runtime = await createOnnxRuntime({ ort, provider: PROVIDER });
  const model = await loadModel(folder(golden(family)), runtime);
  afterAll(() => model.dispose());
  const file = (name: string) => golden(`${family}-golden`, `${name}.safetensors`);
  const { idsOf } = goldenPrompts(family);
  const suffixes = model.textEncoders.map((_, i) => (i === 0 ? '' : `_${i + 1}`));

  test('text', async () => {
    const tensors = readTensors(file('text'));
    const { prompts } = about<{ prompts: string[] }>(file('text'));
    const rows = suffixes.map((suffix) => host(pick(tensors, `rows${suffix}`)));
    const { context, pooled } = await model.functions.encodePrompts.run(await promptsOf(model, idsOf, prompts, rows));
    expectClose(context?.data ?? [], pick(tensors, 'context').data, FORWARD, 'context');
    expectClose(pooled?.data ?? [], pick(tensors, 'pooled').data, FORWARD, 'pooled');
  });

  test('UNet, every tap', async () => {
    const tensors = readTensors(file('unet'));
    const timesteps = Array.from(pick(tensors, 'timesteps').data);
    const taps = [...tensors.keys()].filter((name) => name.startsWith('tap.'));
    const tapped = runtime.compile('denoise', (inputs: Record<string, tf.Tensor>) => {
      const outputs: Record<string, tf.Tensor> = {};
      const { sample, time, context } = inputs;
      if (!sample || !time || !context) throw new Error('three inputs at least');
      const output = denoise(
        model.unet.params,
        { sample: channelsLast(sample), time, context, pooled: inputs['pooled'], sizes: inputs['sizes'] },
        {
          tap: (name, x) => void (outputs[`tap.${name}`] = x.rank === 4 ? tf.transpose(x, [0, 3, 1, 2]) : tf.clone(x)),
        },
      );
      outputs['output'] = tf.transpose(output, [0, 3, 1, 2]);
      return outputs;
    });
    const outputs = await tapped.run({
      sample: host(pick(tensors, 'sample')),
      time: timestepEmbedding(timesteps, model.unet.config),
      context: host(pick(tensors, 'context')),
      ...(model.unet.config.addition ? { pooled: host(pick(tensors, 'pooled')) } : {}),
      ...sizesOf(model, timesteps.length),
    });
    tapped.dispose();
    for (const name of taps) expectClose(outputs[name]?.data ?? [], pick(tensors, name).data, FORWARD, name);
    expectClose(outputs['output']?.data ?? [], pick(tensors, 'output').data, FORWARD, 'output');
  });

  test('autoencoder', async () => {
    const tensors = readTensors(file('vae'));
    const { mean, logvar } = await model.functions.encodePicture.run({ picture: host(pick(tensors, 'image')) });
    const moments = host(pick(tensors, 'moments'));
    const batch = moments.shape[0] ?? 1;
    const joined = Array.from({ length: batch }, (_, b) =>
      [mean, logvar].flatMap((part) => [...(part ? entry(part, b).data : [])]),
    );
    expectClose(joined.flat(), moments.data, FORWARD, 'moments');
    const { picture } = await model.functions.decodeLatents.run({ latents: host(pick(tensors, 'latent')) });
    expectClose(picture?.data ?? [], pick(tensors, 'decoded').data, FORWARD, 'decoded');
  });

  test('gradient of the rows and of the context', async () => {
    const tensors = readTensors(file('gradient'));
    const { prompts } = about<{ prompts: string[] }>(file('gradient'));
    const [latents, noise] = [host(pick(tensors, 'latents')), host(pick(tensors, 'noise'))];
    const rows = suffixes.map((suffix) => host(pick(tensors, `rows${suffix}`)));
    const inputs = await stepInputs(
      model,
      idsOf,
      rows,
      prompts,
      latents,
      noise,
      Array.from(pick(tensors, 'timesteps').data),
    );
    const step = runtime.compile(
      'training-step',
      trainingStep({ encoders: model.textEncoders, unet: model.unet.params }),
    );
    const outputs = await step.run(inputs);
    step.dispose();
    expectClose(outputs['loss']?.data ?? [], pick(tensors, 'loss').data, LOSS, 'loss');
    suffixes.forEach((suffix, i) =>
      expectClose(outputs[`rows.${i}`]?.data ?? [], pick(tensors, `grad.rows${suffix}`).data, GRADIENT, `rows ${i}`),
    );

    const { context, pooled } = await model.functions.encodePrompts.run(onlyPrompts(inputs));
    if (!context || !pooled) throw new Error('no context');
    const ofContext = runtime.compile('context-gradient', (given: Record<string, tf.Tensor>) => {
      const of = (name: string): tf.Tensor => given[name] ?? tf.scalar(0);
      const loss = (...[states = of('context')]: tf.Tensor[]): tf.Scalar => {
        const conditions = { time: of('time'), pooled: of('pooled'), sizes: given['sizes'] };
        const said = denoise(model.unet.params, { sample: channelsLast(of('noisy')), context: states, ...conditions });
        return tf.mean(tf.squaredDifference(said, channelsLast(of('target'))));
      };
      const { grads } = valueAndGrads(loss)([of('context')]);
      return { gradient: grads[0] ?? of('context') };
    });
    const { noisy, target, time, sizes } = inputs;
    if (!noisy || !target || !time) throw new Error('no latents');
    const { gradient } = await ofContext.run({ context, pooled, noisy, target, time, ...(sizes ? { sizes } : {}) });
    ofContext.dispose();
    expectClose(gradient?.data ?? [], pick(tensors, 'grad.context').data, GRADIENT, 'grad.context');
  });

  test.runIf(PROVIDER === 'cpu')('losses and rows of a training run', async () => {
    const tensors = readTensors(file('training'));
    const { prompts } = about<{ prompts: string[][] }>(file('training'));
    const of = (name: string, step: number): HostTensor => entry(host(pick(tensors, name)), step);
    const step = runtime.compile(
      'training-step',
      trainingStep({ encoders: model.textEncoders, unet: model.unet.params }),
    );
    let rows = suffixes.map((suffix) => host(pick(tensors, `rows${suffix}_start`)));
    let states = rows.map(({ data }) => createAdamWState(data.length));
    for (const [s, batch] of prompts.entries()) {
      const timesteps = Array.from(of('timesteps', s).data);
      const outputs = await step.run(
        await stepInputs(model, idsOf, rows, batch, of('latents', s), of('noise', s), timesteps),
      );
      expectClose(outputs['loss']?.data ?? [], of('losses', s).data, LOSS, `loss of step ${s}`);
      const moved = rows.map(({ data }, i) => {
        const [state, gradient] = [states[i], outputs[`rows.${i}`]];
        if (!state || !gradient) throw new Error('one gradient per encoder');
        return adamwStep(state, data, gradient.data, ADAMW);
      });
      rows = rows.map((row, i) => ({ ...row, data: moved[i]?.params ?? row.data }));
      states = moved.map(({ state }) => state);
      suffixes.forEach((suffix, i) =>
        expectClose(rows[i]?.data ?? [], of(`rows${suffix}_after`, s).data, 1e-3, `rows${suffix} after step ${s}`),
      );
    }
    step.dispose();
  });
});

/** The prompts by the ids that the reference gave them, so that no tokenizer takes part. */
async function promptsOf(
  { textEncoders }: DiffusionModel,
  idsOf: (suffix: string, prompt: string) => number[],
  prompts: readonly string[],
  rows: readonly HostTensor[],
): Promise<Record<string, HostTensor>> {
  const inputs: Record<string, HostTensor> = {};
  for (const [i, { table, tokenizer }] of textEncoders.entries()) {
    const { vocabSize, width } = table;
    const concept = rows[i];
    if (!concept) throw new Error('one concept per encoder');
    const [vectors = 0] = concept.shape;
    const ids = prompts.map((prompt) => idsOf(i === 0 ? '' : `_${i + 1}`, prompt));
    const [batch, tokens] = [ids.length, ids[0]?.length ?? 0];
    const embedded = await table.rows(ids.flat().map((id) => (id < vocabSize ? id : tokenizer.endId)));
    const slots = new Float32Array(batch * tokens * vectors);
    const ends = new Float32Array(batch * tokens);
    for (const [place, id] of ids.flat().entries()) {
      if (id < vocabSize) continue;
      embedded.fill(0, place * width, (place + 1) * width);
      slots[place * vectors + id - vocabSize] = 1;
    }
    for (const [b, prompt] of ids.entries()) ends[b * tokens + prompt.indexOf(tokenizer.endId)] = 1;
    inputs[`rows.${i}`] = concept;
    inputs[`embedded.${i}`] = { data: embedded, shape: [batch, tokens, width] };
    inputs[`slots.${i}`] = { data: slots, shape: [batch, tokens, vectors] };
    inputs[`ends.${i}`] = { data: ends, shape: [batch, tokens] };
  }
  return inputs;
}

function onlyPrompts(inputs: Record<string, HostTensor>): Record<string, HostTensor> {
  return Object.fromEntries(Object.entries(inputs).filter(([name]) => /^(rows|embedded|slots|ends)\./.test(name)));
}

function sizesOf({ unet }: DiffusionModel, batch: number): Record<string, HostTensor> {
  const { addition } = unet.config;
  return addition ? { sizes: sizeEmbedding(Array<number[]>(batch).fill(SIZES), addition.sinusoid) } : {};
}

/** The inputs of a training step, from the numbers of a golden file. */
async function stepInputs(
  model: DiffusionModel,
  idsOf: (suffix: string, prompt: string) => number[],
  rows: readonly HostTensor[],
  prompts: readonly string[],
  latents: HostTensor,
  noise: HostTensor,
  timesteps: readonly number[],
): Promise<Record<string, HostTensor>> {
  const { noise: schedule, prediction } = model.scheduler;
  const { alphasCumprod } = createNoiseSchedule(schedule);
  const mixed = (mix: (latents: Float32Array, noise: Float32Array, alpha: number) => Float32Array): HostTensor => {
    const parts = timesteps.map((t, b) => [
      ...mix(entry(latents, b).data, entry(noise, b).data, alphasCumprod[t] ?? Number.NaN),
    ]);
    return { data: Float32Array.from(parts.flat()), shape: latents.shape };
  };
  expect(latents.shape[0]).toBe(timesteps.length);
  return {
    ...(await promptsOf(model, idsOf, prompts, rows)),
    noisy: mixed(noisyLatents),
    target: mixed((x, e, alpha) => predictionTarget(prediction, x, e, alpha)),
    weights: { data: new Float32Array(timesteps.length).fill(1), shape: [timesteps.length] },
    time: timestepEmbedding(timesteps, model.unet.config),
    ...sizesOf(model, timesteps.length),
  };
}
