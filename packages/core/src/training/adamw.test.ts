import { describe, expect, it } from 'vitest';
import { adamwStep, clipGradients, createAdamWState } from './adamw.js';

/** Rows after each of three steps of `torch.optim.AdamW` (PyTorch 2.13), learning rate 5e-3, by weight decay. */
const TORCH: [number, number[][]][] = [
  [
    0,
    [
      [0.495000005, -0.245000005, 1.49504948, 0],
      [0.496830523, -0.246830523, 1.49686849, 0],
      [0.495114326, -0.245114312, 1.49516022, 0],
    ],
  ],
  [
    1e-2,
    [
      [0.494975001, -0.244987503, 1.49497449, 0],
      [0.496780753, -0.246805772, 1.49671876, 0],
      [0.495039701, -0.245077223, 1.49493563, 0],
    ],
  ],
];

describe('adamwStep', () => {
  it.each(TORCH)('takes the steps that PyTorch takes, weight decay %s', (weightDecay, after) => {
    let params: Float32Array = new Float32Array([0.5, -0.25, 1.5, 0]);
    let state = createAdamWState(4);
    for (const [step, expected] of after.entries()) {
      const gradient = new Float32Array([0.1, -2, 1e-6, 0]).map((g) => g * (step + 1) * (-1) ** step);
      ({ params, state } = adamwStep(state, params, gradient, { learningRate: 5e-3, weightDecay }));
      for (const [i, value] of expected.entries()) expect(params[i]).toBeCloseTo(value, 6);
    }
    expect(state.step).toBe(3);
  });

  it('leaves what it was given alone', () => {
    const state = createAdamWState(1);
    const params = new Float32Array([1]);
    adamwStep(state, params, new Float32Array([1]), { learningRate: 0.1 });
    expect([params[0], state.step, state.first[0], state.second[0]]).toEqual([1, 0, 0, 0]);
  });

  it('does not move a row without a gradient', () => {
    const { params } = adamwStep(createAdamWState(1), new Float32Array([1]), new Float32Array(1), { learningRate: 1 });
    expect(params[0]).toBe(1);
  });
});

describe('clipGradients', () => {
  it('measures all gradients together, as clip_grad_norm_ does', () => {
    const gradients = [new Float32Array([3, 4]), new Float32Array([12])];
    clipGradients(gradients, 1);
    const [first, second] = gradients;
    expect(first?.[0]).toBeCloseTo(0.230769217, 7);
    expect(first?.[1]).toBeCloseTo(0.307692289, 7);
    expect(second?.[0]).toBeCloseTo(0.923076868, 7);
  });

  it('leaves short ones as they are', () => {
    const gradient = new Float32Array([0.3, 0.4]);
    clipGradients([gradient], 1);
    expect(gradient).toEqual(new Float32Array([0.3, 0.4]));
  });
});
