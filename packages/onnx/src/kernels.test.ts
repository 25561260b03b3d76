import '@tensorflow/tfjs-backend-cpu';
import { type HostTensor, type Runtime, TextualInversionError, tf } from '@textual-inversion/core';
import * as ort from 'onnxruntime-node';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { geglu, geluExact, geluTanh, quickGelu, silu } from '../../core/src/nn/activations.js';
import { attention } from '../../core/src/nn/attention.js';
import { checkpointed } from '../../core/src/nn/checkpointed.js';
import { conv2d } from '../../core/src/nn/conv2d.js';
import { valueAndGrads } from '../../core/src/nn/gradients.js';
import { groupNorm, layerNorm } from '../../core/src/nn/norms.js';
import { upsampleNearest } from '../../core/src/nn/resample.js';
import { createOnnxRuntime } from './index.js';

type Function = (...inputs: tf.Tensor[]) => tf.Tensor | tf.Tensor[];

let runtime: Runtime;
beforeAll(async () => {
  runtime = await createOnnxRuntime({ ort, threads: 1 });
});
afterAll(() => runtime.dispose());

function numbers(shape: readonly number[], seed: number): HostTensor {
  const size = shape.reduce((product, length) => product * length, 1);
  // Irrational steps: no two numbers alike, none outside [-1, 1].
  return { shape, data: Float32Array.from({ length: size }, (_, i) => Math.sin((i + 1) * 1.37 + seed)) };
}

/** Runs `f` on the backend in plain JavaScript and as a recorded graph. */
async function compare(shapes: readonly (readonly number[])[], f: Function, bound = 1e-5): Promise<void> {
  const inputs = Object.fromEntries(shapes.map((shape, i) => [`x${i}`, numbers(shape, i)]));
  const named = (tensors: Record<string, tf.Tensor>): Record<string, tf.Tensor> =>
    Object.fromEntries([f(...Object.values(tensors))].flat().map((y, i) => [`y${i}`, y]));
  const compiled = runtime.compile('test', named);
  const actual = await compiled.run(inputs);
  compiled.dispose();

  await tf.setBackend('cpu');
  const expected = tf.tidy(() =>
    named(
      Object.fromEntries(Object.entries(inputs).map(([name, { data, shape }]) => [name, tf.tensor(data, [...shape])])),
    ),
  );
  for (const [name, tensor] of Object.entries(expected)) {
    expect(actual[name]?.shape).toEqual(tensor.shape);
    const reference = tf.cast(tensor, 'float32').dataSync<'float32'>();
    const scale = Math.sqrt(reference.reduce((sum, x) => sum + x * x, 0) / reference.length) || 1;
    reference.forEach((x, i) =>
      expect(Math.abs((actual[name]?.data[i] ?? Number.NaN) - x) / scale, `${name}[${i}]`).toBeLessThan(bound),
    );
  }
}

/** The gradients of a weighted sum of what `f` gives. */
const gradients =
  (f: (...inputs: tf.Tensor[]) => tf.Tensor): Function =>
  (...inputs) => {
    const weighted = (...x: tf.Tensor[]): tf.Scalar => {
      const y = f(...x);
      const size = y.shape.reduce((product, length) => product * length, 1);
      const weights = tf.tensor(
        Float32Array.from({ length: size }, (_, i) => Math.cos(i * 0.7)),
        y.shape,
      );
      return tf.sum(tf.mul(y, weights));
    };
    const { value, grads } = valueAndGrads(weighted)(inputs);
    return [value, ...grads];
  };

// Kept: the tape tidies what it sees made on the way forward.
const weight = (shape: number[], seed: number): tf.Tensor => tf.keep(tf.tensor(numbers(shape, seed).data, shape));

describe('kernels', () => {
  const cases: [name: string, shapes: number[][], f: Function][] = [
    [
      'broadcasting',
      [
        [2, 1, 3],
        [4, 1],
      ],
      (a = tf.scalar(0), b = tf.scalar(0)) => tf.add(tf.mul(a, b), tf.sub(a, b)),
    ],
    ['equal numbers', [[2, 3]], (x = tf.scalar(0)) => tf.add(tf.mul(tf.ones([2, 3]), x), tf.zeros([4, 2, 3]))],
    ['equal numbers alone', [[1, 3]], (x = tf.scalar(0)) => tf.mul(tf.fill([2, 3], 2), x)],
    [
      'unary',
      [[2, 3]],
      (x = tf.scalar(0)) => [tf.exp(x), tf.sqrt(tf.abs(x)), tf.rsqrt(tf.add(x, 2)), tf.erf(x), tf.square(x)],
    ],
    [
      'comparison',
      [
        [2, 3],
        [2, 3],
      ],
      (a = tf.scalar(0), b = tf.scalar(0)) => [tf.greater(a, b), tf.where(tf.less(a, 0), a, b)],
    ],
    ['clip', [[7]], (x = tf.scalar(0)) => tf.clipByValue(x, -0.5, 0.25)],
    [
      'reductions',
      [[2, 3, 4]],
      (x = tf.scalar(0)) => [tf.sum(x, 1), tf.mean(x, [0, 2], true), tf.max(x, -1), tf.mean(x)],
    ],
    ['reductions of a transposed', [[2, 3, 4]], (x = tf.scalar(0)) => tf.sum(tf.transpose(x, [2, 0, 1]), 1)],
    ['softmax', [[3, 5]], (x = tf.scalar(0)) => tf.softmax(x as tf.Tensor2D)],
    ['transpose and reshape', [[2, 3, 4]], (x = tf.scalar(0)) => tf.reshape(tf.transpose(x, [0, 2, 1]), [8, 3])],
    ['reshape that must move', [[2, 3, 4]], (x = tf.scalar(0)) => tf.reshape(tf.transpose(x, [2, 1, 0]), [6, 4])],
    [
      'slice, pad, concat',
      [[2, 3, 4]],
      (x = tf.scalar(0)) =>
        tf.concat(
          [
            tf.slice(tf.transpose(x, [1, 0, 2]), [1, 0, 0], [2, 2, 3]),
            tf.pad(tf.slice(x, [0, 0, 0], [2, 2, 1]), [
              [0, 0],
              [0, 0],
              [1, 1],
            ]),
          ],
          0,
        ),
    ],
    [
      'tile, reverse',
      [[2, 3]],
      (x = tf.scalar(0)) => [
        tf.tile(x, [2, 2]),
        tf.reverse(x, 1),
        tf.broadcastTo(tf.slice(x, [0, 0], [2, 1]), [3, 2, 4]),
      ],
    ],
    [
      'gather, one hot',
      [[5, 3]],
      (x = tf.scalar(0)) => [
        tf.gather(x, tf.tensor1d([3, 1, 1], 'int32')),
        tf.matMul(tf.oneHot(tf.tensor1d([4, 0], 'int32'), 5) as tf.Tensor2D, x as tf.Tensor2D),
      ],
    ],
    [
      'stack, unstack, split',
      [[2, 4]],
      (x = tf.scalar(0)) => [tf.stack([x, x], 1), ...tf.unstack(x, 1), ...tf.split(x, [1, 3], 1)],
    ],
    [
      'matMul',
      [
        [3, 4],
        [5, 4],
      ],
      (a = tf.scalar(0), b = tf.scalar(0)) => [
        tf.matMul(a, b, false, true),
        tf.matMul(a, tf.transpose(b)),
        tf.matMul(tf.transpose(b), a, true, true),
      ],
    ],
    [
      'batched matMul',
      [
        [2, 3, 4],
        [2, 5, 4],
      ],
      (a = tf.scalar(0), b = tf.scalar(0)) => tf.matMul(a, b, false, true),
    ],
    [
      'batched matMul of what is turned around',
      [
        [2, 4, 3, 2],
        [2, 5, 3, 4],
      ],
      (a = tf.scalar(0), b = tf.scalar(0)) => [
        tf.matMul(tf.transpose(a, [0, 2, 1, 3]), tf.transpose(b, [0, 2, 1, 3]), true, true),
        tf.matMul(tf.transpose(b, [0, 2, 1, 3]), tf.transpose(a, [0, 2, 1, 3])),
        tf.matMul(tf.transpose(a, [0, 2, 3, 1]), tf.transpose(b, [0, 2, 3, 1])),
      ],
    ],
    [
      'matMul of rows',
      [
        [2, 3, 4],
        [4, 5],
      ],
      (a = tf.scalar(0), b = tf.scalar(0)) => [
        tf.reshape(tf.matMul(tf.reshape(tf.neg(a), [6, 4]), b as tf.Tensor2D), [2, 3, 5]),
        tf.matMul(tf.reshape(tf.neg(b), [5, 4]), b as tf.Tensor2D),
      ],
    ],
    [
      'pools',
      [[2, 4, 6, 3]],
      (x = tf.scalar(0)) => [tf.avgPool(x as tf.Tensor4D, 2, 2, 'valid'), tf.maxPool(x as tf.Tensor4D, 3, 2, 'same')],
    ],
    [
      'resize',
      [[1, 3, 2, 2]],
      (x = tf.scalar(0)) => [
        tf.image.resizeNearestNeighbor(x as tf.Tensor4D, [6, 4]),
        tf.image.resizeBilinear(x as tf.Tensor4D, [6, 4], false, true),
      ],
    ],
  ];
  test.each(cases)('%s', (_, shapes, f) => compare(shapes, f));
});

describe('layers and their gradients', () => {
  const filter = (k: number, inputs: number, outputs: number) => ({
    filter: weight([k, k, inputs, outputs], 3),
    bias: weight([outputs], 4),
  });
  const norm = (channels: number) => ({ scale: weight([channels], 5), offset: weight([channels], 6), epsilon: 1e-5 });
  const cases: [name: string, shapes: number[][], f: (...inputs: tf.Tensor[]) => tf.Tensor][] = [
    ['conv2d', [[2, 5, 6, 3]], (x = tf.scalar(0)) => conv2d({ ...filter(3, 3, 4), stride: 1, pads: [1, 1, 1, 1] }, x)],
    [
      'conv2d in steps of two',
      [[2, 6, 6, 3]],
      (x = tf.scalar(0)) => conv2d({ ...filter(3, 3, 4), stride: 2, pads: [1, 1, 1, 1] }, x),
    ],
    [
      'conv2d in steps of two, odd',
      [[1, 5, 7, 3]],
      (x = tf.scalar(0)) => conv2d({ ...filter(3, 3, 4), stride: 2, pads: [0, 1, 0, 1] }, x),
    ],
    [
      'conv2d 1x1',
      [[1, 5, 4, 3]],
      (x = tf.scalar(0)) => conv2d({ ...filter(1, 3, 4), stride: 1, pads: [0, 0, 0, 0] }, x),
    ],
    ['group norm', [[2, 4, 3, 8]], (x = tf.scalar(0)) => groupNorm({ ...norm(8), groups: 4 }, x)],
    [
      'group norm, silu, conv2d',
      [[2, 4, 4, 4]],
      (x = tf.scalar(0)) =>
        conv2d({ ...filter(3, 4, 4), stride: 1, pads: [1, 1, 1, 1] }, silu(groupNorm({ ...norm(4), groups: 2 }, x))),
    ],
    ['layer norm', [[2, 3, 8]], (x = tf.scalar(0)) => layerNorm(norm(8), x)],
    [
      'attention',
      [
        [2, 5, 8],
        [2, 3, 8],
        [2, 3, 8],
      ],
      (q = tf.scalar(0), k = q, v = q) => attention({ heads: 2 }, q, k, v),
    ],
    [
      'causal attention',
      [
        [2, 5, 8],
        [2, 5, 8],
        [2, 5, 8],
      ],
      (q = tf.scalar(0), k = q, v = q) => attention({ heads: 4, causal: true }, q, k, v),
    ],
    [
      'attention that is worked off in loops',
      [
        [1, 2048, 2],
        [1, 2049, 2],
        [1, 2049, 2],
      ],
      (q = tf.scalar(0), k = q, v = q) => attention({ heads: 1 }, q, k, v),
    ],
    [
      'activations',
      [
        [2, 8],
        [2, 8],
      ],
      (x = tf.scalar(0), y = x) => tf.concat([silu(x), quickGelu(x), geluExact(x), geluTanh(x), geglu(x, y)], -1),
    ],
    ['upsampling', [[1, 2, 3, 2]], (x = tf.scalar(0)) => upsampleNearest(x)],
    ['a block that is computed again', [[2, 8]], (x = tf.scalar(0)) => checkpointed((x) => silu(silu(x)), [x])],
  ];
  test.each(cases)('%s', (_, shapes, f) => compare(shapes, gradients(f), 5e-5));
});

test('a kernel that is missing is named, with the place that called it', async () => {
  const compiled = runtime.compile('test', ({ x }: Record<'x', tf.Tensor>) => ({ y: tf.cumsum(x) }));
  const failure = await compiled.run({ x: numbers([3], 0) }).catch((error: unknown) => error);
  expect(failure).toBeInstanceOf(TextualInversionError);
  expect(failure).toMatchObject({ code: 'KERNEL_UNSUPPORTED' });
  expect(String(failure)).toMatch(/Cumsum.*kernels\.test/s);
});

test('numbers cannot be read while recording', async () => {
  const compiled = runtime.compile('test', ({ x }: Record<'x', tf.Tensor>) => ({ y: tf.mul(x, x.dataSync()[0] ?? 0) }));
  await expect(compiled.run({ x: numbers([3], 0) })).rejects.toMatchObject({ code: 'KERNEL_UNSUPPORTED' });
});

test('other shapes are compiled anew', async () => {
  const compiled = runtime.compile('test', ({ x }: Record<'x', tf.Tensor>) => ({ y: tf.sum(x) }));
  expect((await compiled.run({ x: { data: Float32Array.of(1, 2), shape: [2] } })).y.data).toEqual(Float32Array.of(3));
  expect((await compiled.run({ x: { data: Float32Array.of(1, 2, 3), shape: [3] } })).y.data).toEqual(
    Float32Array.of(6),
  );
});
