import { beforeAll, test } from 'vitest';
import { encodePrompts } from '../../packages/core/src/models/prompt-context.js';
import { denoise } from '../../packages/core/src/models/unet/model.js';
import { valueAndGrads } from '../../packages/core/src/nn/gradients.js';
import type { Tensor } from '../../packages/core/src/tf.js';
import * as tf from '../../packages/core/src/tf.js';
import { about, expectClose, golden, readTensors } from '../support/golden.js';
import { channelsLast, families, numbers, pick, useBackend } from '../support/models.js';
import { loadStep, named } from '../support/step.js';

const BOUND = 1e-3;
const LOSS_BOUND = 1e-4;

beforeAll(() => useBackend());

test.each(families)('%s: loss, gradient of the rows and of the context', async (family) => {
  const path = golden(`${family}-golden`, 'gradient.safetensors');
  const file = readTensors(path);
  const { prompts } = about<{ prompts: string[] }>(path);
  const { encoders, unet, prepare, run } = await loadStep(family);
  const rows = encoders.map(({ suffix }) => pick(file, `rows${suffix}`));
  const inputs = await prepare(rows, prompts, pick(file, 'latents'), pick(file, 'noise'), pick(file, 'timesteps').data);

  const { loss, gradients } = run(inputs);
  expectClose([loss], pick(file, 'loss').data, LOSS_BOUND, 'loss');
  encoders.forEach(({ suffix }, i) => {
    const name = `grad.rows${suffix}`;
    expectClose(gradients[i] ?? [], pick(file, name).data, BOUND, name);
  });

  const sentences = encoders.map((_, i) => ({
    rows: named(inputs, `rows.${i}`),
    embedded: named(inputs, `embedded.${i}`),
    slots: named(inputs, `slots.${i}`),
    ends: named(inputs, `ends.${i}`),
  }));
  const { context, pooled } = encodePrompts(encoders, sentences);
  const lossOfContext = (context: Tensor): tf.Scalar => {
    const sample = channelsLast(named(inputs, 'noisy'));
    const prediction = denoise(unet, { sample, time: named(inputs, 'time'), context, pooled, sizes: inputs['sizes'] });
    return tf.mean(tf.squaredDifference(prediction, channelsLast(named(inputs, 'target'))));
  };
  const { grads } = valueAndGrads((...[x]) => lossOfContext(x ?? context))([context]);
  expectClose(numbers(grads[0] ?? context), pick(file, 'grad.context').data, BOUND, 'grad.context');
});
