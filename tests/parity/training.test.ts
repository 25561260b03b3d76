import { beforeAll, expect, test } from 'vitest';
import * as tf from '../../packages/core/src/tf.js';
import { adamwStep, createAdamWState } from '../../packages/core/src/training/adamw.js';
import { about, expectClose, type GoldenTensor, golden, readTensors } from '../support/golden.js';
import { families, pick, useBackend } from '../support/models.js';
import { loadStep } from '../support/step.js';

const ROWS_BOUND = 1e-3;
const LOSS_BOUND = 1e-4;
/** What the golden run trained with, as its `optimizer` entry says. */
const ADAMW = { learningRate: 5e-3, betas: [0.9, 0.999], epsilon: 1e-8, weightDecay: 1e-2 } as const;

beforeAll(() => useBackend());

/** Entry `index` along the first axis. */
function entry({ data, shape: [, ...shape], dtype }: GoldenTensor, index: number): GoldenTensor {
  const size = shape.reduce((a, b) => a * b, 1);
  return { data: data.slice(index * size, (index + 1) * size), shape, dtype };
}

test.each(families)('%s: losses and rows of a training run', async (family) => {
  const path = golden(`${family}-golden`, 'training.safetensors');
  const file = readTensors(path);
  const { prompts, optimizer } = about<{ prompts: string[][]; optimizer: string }>(path);
  expect(optimizer).toBe('AdamW lr 5e-3 betas 0.9 0.999 eps 1e-8 weight_decay 1e-2');
  const { encoders, prepare, run } = await loadStep(family);
  let rows = encoders.map(({ suffix }): GoldenTensor & { data: Float32Array } => {
    const start = pick(file, `rows${suffix}_start`);
    return { ...start, data: Float32Array.from(start.data) };
  });
  let states = rows.map(({ data }) => createAdamWState(data.length));
  for (const [s, batch] of prompts.entries()) {
    const of = (name: string): GoldenTensor => entry(pick(file, name), s);
    const { loss, gradients } = run(await prepare(rows, batch, of('latents'), of('noise'), of('timesteps').data));
    expectClose([loss], pick(file, 'losses').data.slice(s, s + 1), LOSS_BOUND, `loss of step ${s}`);
    const moved = rows.map(({ data }, i) => {
      const [state, gradient] = [states[i], gradients[i]];
      if (!state || !gradient) throw new Error('one gradient per encoder');
      return adamwStep(state, data, gradient, ADAMW);
    });
    rows = rows.map((row, i) => ({ ...row, data: moved[i]?.params ?? row.data }));
    states = moved.map(({ state }) => state);
    encoders.forEach(({ suffix }, i) =>
      expectClose(rows[i]?.data ?? [], of(`rows${suffix}_after`).data, ROWS_BOUND, `rows${suffix} after step ${s}`),
    );
  }
});

test.each(families)('%s: pictures count as much as their weights say', async (family) => {
  const path = golden(`${family}-golden`, 'gradient.safetensors');
  const file = readTensors(path);
  const { prompts } = about<{ prompts: string[] }>(path);
  const { encoders, prepare, run } = await loadStep(family);
  const rows = encoders.map(({ suffix }) => pick(file, `rows${suffix}`));
  const of = (name: string, range: [number, number]): GoldenTensor => {
    const { data, shape, dtype } = pick(file, name);
    const size = data.length / (shape[0] ?? 1);
    return {
      data: data.slice(range[0] * size, range[1] * size),
      shape: [range[1] - range[0], ...shape.slice(1)],
      dtype,
    };
  };
  const step = async (weights: number[], first: number) => {
    const range: [number, number] = [first, first + weights.length];
    const { data: timesteps } = of('timesteps', range);
    const inputs = await prepare(rows, prompts.slice(...range), of('latents', range), of('noise', range), timesteps);
    return run({ ...inputs, weights: tf.tensor(weights) });
  };
  const [whole, first, second] = [await step([0.3, 1.7], 0), await step([1], 0), await step([1], 1)];
  expectClose([whole.loss], [0.15 * first.loss + 0.85 * second.loss], 1e-5, 'loss');
  whole.gradients.forEach((gradient, i) => {
    const expected = gradient.map(
      (_, k) => 0.15 * (first.gradients[i]?.[k] ?? 0) + 0.85 * (second.gradients[i]?.[k] ?? 0),
    );
    expectClose(gradient, expected, 1e-4, `rows ${i}`);
  });
});
