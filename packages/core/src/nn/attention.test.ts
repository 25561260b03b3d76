import '@tensorflow/tfjs-backend-wasm';
import { beforeAll, expect, test } from 'vitest';
import type { Tensor } from '../tf.js';
import * as tf from '../tf.js';
import { attention } from './attention.js';
import { valueAndGrads } from './gradients.js';

let query: Tensor;
let key: Tensor;
let value: Tensor;
let weight: Tensor;

beforeAll(async () => {
  await tf.setBackend('wasm');
  [query, key, value, weight] = [filled(0.1), filled(0.7), filled(1.9), filled(2.3)];
});

/** More scores than are written at once. */
const LENGTH = 4400;
const HALF = LENGTH / 2;

function filled(phase: number): Tensor {
  return tf.tensor(
    Float32Array.from({ length: LENGTH * 2 }, (_, i) => Math.sin(1.7 * i + phase)),
    [1, LENGTH, 2],
  );
}

function rowsOf(x: Tensor, start: number, rows: number): Tensor {
  return tf.slice(x, [0, start, 0], [1, rows, 2]);
}

function expectClose(a: Tensor | undefined, b: Tensor | undefined): void {
  if (!a || !b) throw new Error('a gradient is missing');
  expect(tf.max(tf.abs(tf.sub(a, b))).dataSync()[0]).toBeLessThan(1e-5);
}

/** Value of a weighted sum over some query rows, and its gradients. */
function over(start: number, rows: number): { value: Tensor; grads: Tensor[] } {
  const loss = (q: Tensor, k: Tensor, v: Tensor): tf.Scalar =>
    tf.sum(tf.mul(attention({ heads: 1 }, q, k, v), rowsOf(weight, start, rows)));
  return valueAndGrads((...[q, k, v]) => loss(q ?? query, k ?? key, v ?? value))([
    rowsOf(query, start, rows),
    key,
    value,
  ]);
}

test('a long input, worked off in runs of rows, has the gradients of its parts', () => {
  const whole = over(0, LENGTH);
  const [first, second] = [over(0, HALF), over(HALF, HALF)];
  const [q1, q2] = [first.grads[0], second.grads[0]];
  if (!q1 || !q2) throw new Error('a gradient is missing');
  expectClose(whole.grads[0], tf.concat([q1, q2], 1));
  for (const i of [1, 2]) expectClose(whole.grads[i], tf.add(first.grads[i] ?? 0, second.grads[i] ?? 0));
});

test('a causal mask follows the runs', () => {
  const all = attention({ heads: 1, causal: true }, query, key, value);
  const early = 10;
  const few = attention(
    { heads: 1, causal: true },
    rowsOf(query, 0, early),
    rowsOf(key, 0, early),
    rowsOf(value, 0, early),
  );
  expectClose(rowsOf(all, 0, early), few);
  // The last row sees everything, as it would without a mask.
  expectClose(rowsOf(all, LENGTH - 1, 1), attention({ heads: 1 }, rowsOf(query, LENGTH - 1, 1), key, value));
});

test('large heads, worked off one by one, are what they are alone', () => {
  const tokens = 260; // 260 * 260 scores are a large head
  const inputs = [0.2, 0.5, 0.8].map((phase) =>
    tf.tensor(
      Float32Array.from({ length: 2 * tokens * 4 }, (_, i) => Math.sin(1.3 * i + phase)),
      [2, tokens, 4],
    ),
  );
  const both = valueAndGrads((...xs) => tf.sum(tf.square(attendAll(xs, 2))))(inputs);
  const alone = (picture: number, head: number): Tensor[] => {
    const parts = inputs.map((x) => tf.slice(x, [picture, 0, head * 2], [1, tokens, 2]));
    return valueAndGrads((...xs) => tf.sum(tf.square(attendAll(xs, 1))))(parts).grads;
  };
  for (const [picture, head] of [
    [0, 0],
    [1, 1],
  ] as const) {
    alone(picture, head).forEach((gradient, i) => {
      const whole = both.grads[i];
      expectClose(whole && tf.slice(whole, [picture, 0, head * 2], [1, tokens, 2]), gradient);
    });
  }
});

function attendAll([q, k, v]: Tensor[], heads: number): Tensor {
  if (!q || !k || !v) throw new Error('three inputs');
  return attention({ heads }, q, k, v);
}
