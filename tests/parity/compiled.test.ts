import * as ort from 'onnxruntime-node';
import { afterAll, describe, test } from 'vitest';
import { loadModel } from '../../packages/core/src/index.js';
import { denoise } from '../../packages/core/src/models/unet/model.js';
import { valueAndGrads } from '../../packages/core/src/nn/gradients.js';
import type { HostTensor } from '../../packages/core/src/platform.js';
import * as tf from '../../packages/core/src/tf.js';
import { adamwStep, createAdamWState } from '../../packages/core/src/training/adamw.js';
import { compileTrainingStep, trainingStep } from '../../packages/core/src/training/step.js';
import { createOnnxRuntime } from '../../packages/onnx/src/index.js';
import { GPU, recordGraph, startGraph, takesHalves } from '../../packages/onnx/src/runtime.js';
import { folder } from '../support/folder.js';
import { about, expectClose, golden, readTensors } from '../support/golden.js';
import { denoiseInputs, gradientInputs } from '../support/golden-inputs.js';
import { channelsLast, families, pick } from '../support/models.js';
import { goldenPrompts } from '../support/prompts.js';
import { entry, host, onlyPrompts, promptsOf, stepInputs } from '../support/step-inputs.js';

/** `TI_PROVIDER` chooses another execution provider. */
const PROVIDER = process.env['TI_PROVIDER'] ?? 'cpu';
/** These compute in float32: within 1.2e-5 forward and 3.5e-5 of gradients. Others may round to half precision or TF32. */
const FLOAT32 = ['cpu', 'webgpu'].includes(PROVIDER);
const [FORWARD, GRADIENT, LOSS] = FLOAT32 ? [1e-4, 3e-4, 1e-4] : [1e-3, 1e-2, 1e-3];
const SETTINGS = { provider: PROVIDER, threads: undefined };
const ADAMW = { learningRate: 5e-3, betas: [0.9, 0.999], epsilon: 1e-8, weightDecay: 1e-2 } as const;

describe.each(families)('%s, compiled', async (family) => {
  // Two lanes, so that the steps below whose batch may be divided are.
  const runtime = await createOnnxRuntime({ ort, others: [ort], provider: PROVIDER });
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
    const outputs = await tapped.run(denoiseInputs(model, family));
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

  /** The inputs of the step whose gradient is known, and what it gives. */
  async function gradientStep() {
    const tensors = readTensors(file('gradient'));
    const inputs = await gradientInputs(model, family);
    const check = (outputs: Record<string, HostTensor>): void => {
      expectClose(outputs['loss']?.data ?? [], pick(tensors, 'loss').data, LOSS, 'loss');
      suffixes.forEach((suffix, i) =>
        expectClose(outputs[`rows.${i}`]?.data ?? [], pick(tensors, `grad.rows${suffix}`).data, GRADIENT, `rows ${i}`),
      );
    };
    return { inputs, check, tensors };
  }

  test('gradient of the rows and of the context', async () => {
    const { inputs, check, tensors } = await gradientStep();
    for (const recompute of [false, true]) {
      const step = compileTrainingStep(runtime, { encoders: model.textEncoders, unet: model.unet.params, recompute });
      const outputs = await step.run(inputs);
      step.dispose();
      check(outputs);
    }

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

  test('gradient of the rows, with weights that stay in the precision of their files', async () => {
    const { inputs, check } = await gradientStep();
    const step = trainingStep({ encoders: model.textEncoders, unet: model.unet.params, recompute: true });
    const graph = recordGraph({ ...GPU, roomy: false }, step, inputs);
    // What a GPU gets beside large weights; a software adapter may not know half precision.
    const halves = PROVIDER === 'cpu' || (await takesHalves(ort, SETTINGS));
    const started = await startGraph(ort, 'training-step', graph, { ...SETTINGS, halves });
    check(await started.run(inputs));
    await started.dispose();
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
