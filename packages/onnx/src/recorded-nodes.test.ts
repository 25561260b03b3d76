import { type HostTensor, type TensorRef, tf } from '@textual-inversion/core';
import * as ort from 'onnxruntime-node';
import { describe, expect, test } from 'vitest';
import { attention } from '../../core/src/nn/attention.js';
import { linear } from '../../core/src/nn/linear.js';
import { groupNorm } from '../../core/src/nn/norms.js';
import type { Value, WeightUse } from './graph/graph.js';
import { needed } from './graph/model-file.js';
import { createOnnxRuntime } from './index.js';
import { GPU, recordGraph } from './runtime.js';
import { allSmall } from './session.js';

const CPU = { loops: true, fused: true, launches: false };

type Recorded = (...inputs: tf.Tensor[]) => tf.Tensor;

/** The operators that a session gets for `f` of tensors of these shapes. */
function operators(
  f: Recorded,
  shapes: readonly number[][],
  target: Parameters<typeof recordGraph>[0] = { ...CPU, roomy: true },
): string[] {
  const inputs = Object.fromEntries(shapes.map((shape, i) => [`x${i}`, { shape }]));
  const { recorder } = recordGraph(target, (tensors) => ({ y: f(...Object.values(tensors)) }), inputs);
  return needed(recorder.graph)
    .nodes.map(({ op }) => op)
    .filter((op) => op !== 'Identity');
}

describe('few nodes', () => {
  test('a shape that is given twice is given once', () => {
    const twice: Recorded = (x = tf.scalar(0)) => tf.abs(tf.reshape(tf.reshape(tf.neg(x), [3, 4]), [12]));
    expect(operators(twice, [[2, 6]])).toEqual(['Neg', 'Reshape', 'Abs']);
  });

  test('a shape that is taken back is not given', () => {
    const back: Recorded = (x = tf.scalar(0)) => tf.abs(tf.reshape(tf.reshape(tf.neg(x), [3, 4]), [2, 6]));
    expect(operators(back, [[2, 6]])).toEqual(['Neg', 'Abs']);
  });

  test('a matrix is multiplied with rows of pictures as they are', () => {
    const product: Recorded = (x = tf.scalar(0), weight = x) => linear({ weight, bias: undefined }, x);
    const shapes = [
      [2, 3, 4],
      [4, 5],
    ];
    expect(operators(product, shapes)).toEqual(['MatMul']);
    expect(operators(product, shapes, { ...GPU, roomy: true })).toEqual(['Reshape', 'MatMul']);
  });

  test('an output is not reshaped, and an input that no output needs is not asked for', async () => {
    const turned = ({ x }: Record<'x' | 'idle', tf.Tensor>) => ({ y: tf.reshape(tf.neg(x), [2, 2]) });
    const numbers = { data: Float32Array.of(1, 2, 3, 4), shape: [4] };
    const recorded = recordGraph({ ...GPU, roomy: true }, turned, { x: numbers, idle: numbers });
    expect(needed(recorded.recorder.graph).nodes.map(({ op }) => op)).toEqual(['Neg', 'Identity']);
    expect(recorded.inputs).toEqual(['x']);
    const runtime = await createOnnxRuntime({ ort, threads: 1 });
    const { y } = await runtime.compile('turned', turned).run({ x: numbers, idle: numbers });
    expect(y).toEqual({ data: Float32Array.of(-1, -2, -3, -4), shape: [2, 2] });
    runtime.dispose();
  });

  test('no matrix of many is turned around to be multiplied', () => {
    const product: Recorded = (a = tf.scalar(0), b = a) => tf.matMul(a, b, true, true);
    const shapes = [
      [2, 4, 3],
      [2, 5, 4],
    ];
    expect(operators(product, shapes)).toEqual(['FusedMatMul']);
    expect(operators(product, shapes, { ...GPU, roomy: true })).toEqual(['Transpose', 'Transpose', 'MatMul']);
  });

  test('a small group norm has one pass for its groups and one for its channels', () => {
    const norm: Recorded = (x = tf.scalar(0), scale = x, offset = x) =>
      tf.transpose(groupNorm({ scale, offset, groups: 2, epsilon: 1e-5 }, tf.transpose(x, [0, 2, 3, 1])), [0, 3, 1, 2]);
    const counted = (side: number): string[] =>
      operators(norm, [[1, 4, side, side], [4], [4]]).filter((op) => op !== 'Reshape' && op !== 'Expand');
    expect(counted(8)).toEqual(['LayerNormalization', 'BatchNormalization']);
    expect(counted(128)).not.toContain('LayerNormalization'); // float32 would add up 32768 numbers of a group at once
  });
});

test('a probability that changes no sum is zero', async () => {
  const runtime = await createOnnxRuntime({ ort, threads: 1 });
  const numbers = (...data: number[]): HostTensor => ({ data: Float32Array.from(data), shape: [1, 2, 1] });
  const attended = runtime.compile('attended', ({ q, k, v }: Record<'q' | 'k' | 'v', tf.Tensor>) => ({
    y: attention({ heads: 1, causal: true }, q, k, v),
  }));
  const seen = async (score: number): Promise<number | undefined> =>
    (await attended.run({ q: numbers(0, 1), k: numbers(score, 0), v: numbers(0, 1) })).y.data[1];
  expect(await seen(20)).toBeCloseTo(Math.exp(-20), 12);
  expect(await seen(60)).toBe(0);
  runtime.dispose();
});

test('memory is kept between runs where every tensor is small', () => {
  const value = (shape: readonly number[]): Value => ({ name: 'v', type: 'float32', shape });
  const made = (shape: readonly number[]) => [
    { op: '', domain: '', inputs: [], outputs: [value(shape)], attributes: {} },
  ];
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- nothing looks at where it comes from
  const weight = (shape: readonly number[]): WeightUse[] => [{ value: value(shape), ref: {} as TensorRef }];
  expect(allSmall(made([1024, 1024]), weight([1024, 1024]))).toBe(true);
  expect(allSmall(made([1024, 1025]), weight([1]))).toBe(false);
  expect(allSmall(made([1]), weight([1024, 1025]))).toBe(false);
});
