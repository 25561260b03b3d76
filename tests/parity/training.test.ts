import { beforeAll, expect, test } from 'vitest';
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
