import '@tensorflow/tfjs-backend-cpu';
import { beforeAll, describe, expect, test } from 'vitest';
import { expectClose } from '../../../../tests/support/golden.js';
import type { Tensor } from '../tf.js';
import * as tf from '../tf.js';
import { geglu, geluExact, geluTanh, quickGelu, silu } from './activations.js';
import { add, concatChannels } from './arithmetic.js';
import { attention } from './attention.js';
import { conv2d } from './conv2d.js';
import { valueAndGrads } from './gradients.js';
import { linear } from './linear.js';
import { groupNorm, layerNorm } from './norms.js';
import { upsampleNearest } from './resample.js';

beforeAll(() => tf.setBackend('cpu'));

/** Numbers of a fixed pattern, none near another's kink. */
function filled(shape: number[], phase: number, offset = 0): Tensor {
  const size = shape.reduce((a, b) => a * b, 1);
  return tf.tensor(
    Float32Array.from({ length: size }, (_, i) => offset + Math.sin(1.7 * i + phase) * 0.8),
    shape,
  );
}

/**
 * Compares the gradients of a weighted sum of `f`'s output with central differences.
 * @param bound - Of a difference, over the root mean square. What float32 rounds away in `f` decides it.
 */
function checkGradient(f: (...inputs: Tensor[]) => Tensor, inputs: Tensor[], bound = 1e-3): void {
  const weighted = (...xs: Tensor[]): Tensor => {
    const y = f(...xs);
    return tf.mul(y, filled(y.shape, 0.3));
  };
  const { grads } = valueAndGrads((...xs) => tf.sum(weighted(...xs)))(inputs);
  const step = 1e-2;
  inputs.forEach((input, which) => {
    const numbers = input.dataSync();
    const expected = Array.from(numbers, (number, i) => {
      const at = (delta: number): number => {
        const moved = Float32Array.from(numbers);
        moved[i] = number + delta;
        const xs = inputs.map((x, k) => (k === which ? tf.tensor(moved, input.shape) : x));
        const terms = tf.tidy(() => weighted(...xs)).dataSync<'float32'>();
        return terms.reduce((sum, term) => sum + term, 0); // in double precision
      };
      return (at(step) - at(-step)) / (2 * step);
    });
    expect(grads[which]?.shape).toEqual(input.shape);
    expectClose(grads[which]?.dataSync() ?? [], expected, bound, `input ${which}`);
  });
}

describe('registered kernels', () => {
  const x = filled([2, 3], 0.1);
  const positive = filled([2, 3], 0.2, 1.5);
  const row = filled([3], 0.5, 1.6);
  const cases: Record<string, [f: (a: Tensor, b: Tensor) => Tensor, inputs: Tensor[]]> = {
    'add, broadcast': [tf.add, [x, row]],
    'sub, broadcast': [tf.sub, [row, x]],
    'mul, broadcast': [tf.mul, [x, row]],
    'div, broadcast': [tf.div, [x, row]],
    squaredDifference: [tf.squaredDifference, [x, row]],
    neg: [tf.neg, [x]],
    clone: [tf.clone, [x]],
    cast: [(a) => tf.cast(a, 'float32'), [x]],
    exp: [tf.exp, [x]],
    log: [tf.log, [positive]],
    sigmoid: [tf.sigmoid, [x]],
    tanh: [tf.tanh, [x]],
    erf: [tf.erf, [x]],
    sqrt: [tf.sqrt, [positive]],
    rsqrt: [tf.rsqrt, [positive]],
    square: [tf.square, [x]],
    relu: [tf.relu, [x]],
    'sum over an axis': [(a) => tf.sum(a, 0), [x]],
    'sum, kept': [(a) => tf.sum(a, -1, true), [x]],
    'mean of all': [(a) => tf.mean(a), [x]],
    'mean over axes': [(a) => tf.mean(a, [0, 2]), [filled([2, 3, 2], 0.4)]],
    max: [(a) => tf.max(a, 1), [x]],
    softmax: [(a) => tf.softmax(a), [x]],
    reshape: [(a) => tf.reshape(a, [3, 2]), [x]],
    expandDims: [(a) => tf.expandDims(a, 1), [x]],
    transpose: [(a) => tf.transpose(a, [2, 0, 1]), [filled([2, 3, 2], 0.4)]],
    slice: [(a) => tf.slice(a, [0, 1], [2, -1]), [x]],
    pad: [
      (a) =>
        tf.pad(a, [
          [1, 0],
          [2, 1],
        ]),
      [x],
    ],
    concat: [(a, b) => tf.concat([a, b], -1), [x, filled([2, 2], 0.9)]],
    tile: [(a) => tf.tile(a, [2, 3]), [x]],
    matMul: [(a, b) => tf.matMul(a, b), [x, filled([3, 2], 0.8)]],
    'matMul, first transposed': [(a, b) => tf.matMul(a, b, true), [filled([3, 2], 0.7), filled([3, 4], 0.8)]],
    'matMul, second transposed': [(a, b) => tf.matMul(a, b, false, true), [x, filled([4, 3], 0.8)]],
    'matMul, both transposed': [(a, b) => tf.matMul(a, b, true, true), [filled([3, 2], 0.7), filled([4, 3], 0.8)]],
    'matMul of batches': [(a, b) => tf.matMul(a, b), [filled([2, 2, 3], 0.7), filled([2, 3, 2], 0.8)]],
    'conv2d, same': [
      (a) => tf.conv2d(tf.rank4(a), tf.rank4(filled([3, 3, 2, 2], 0.2)), 1, 'same'),
      [filled([1, 3, 4, 2], 0.6)],
    ],
    'conv2d, stride 2': [
      (a) => tf.conv2d(tf.rank4(a), tf.rank4(filled([3, 3, 2, 2], 0.2)), 2, 'same'),
      [filled([1, 4, 5, 2], 0.6)],
    ],
    resizeNearestNeighbor: [(a) => tf.image.resizeNearestNeighbor(tf.rank4(a), [4, 6]), [filled([1, 2, 3, 2], 0.6)]],
  };
  test.each(Object.entries(cases))('%s', (_, [f, inputs]) => checkGradient(f, inputs));

  test('a filter that would have to be trained is refused', () => {
    const image = tf.rank4(filled([1, 3, 3, 2], 0.6));
    const gradient = valueAndGrads((filter) => tf.sum(tf.conv2d(image, tf.rank4(filter), 1, 'same')));
    expect(() => gradient([filled([3, 3, 2, 2], 0.2)])).toThrowError(/frozen filter/);
  });

  test('one tensor may be used twice', () => checkGradient((a) => tf.add(tf.add(a, a), tf.neg(a)), [x]));
});

describe('layers', () => {
  const x = filled([2, 3, 4], 0.1);
  const picture = filled([1, 4, 5, 4], 0.4);
  const scale = filled([4], 0.6, 1.2);
  const offset = filled([4], 0.7);
  test('linear', () => {
    const layer = { weight: filled([4, 5], 0.3), bias: filled([5], 0.2) };
    checkGradient((a) => linear(layer, a), [x]);
    checkGradient((a) => linear(layer, a, { first: 1, count: 3 }), [x]);
    const [whole, part] = [linear(layer, x), linear(layer, x, { first: 1, count: 3 })];
    expect(part.dataSync()).toEqual(tf.slice(whole, [0, 0, 1], [-1, -1, 3]).dataSync());
  });
  test('add, the second repeated', () => checkGradient((a, b) => add(a, b), [x, filled([2, 1, 4], 0.3)]));
  test('add of one tensor to itself', () => checkGradient((a) => add(a, a), [x]));
  test('concatChannels', () => checkGradient((a, b) => concatChannels([a, b]), [x, filled([2, 3, 1], 0.3)]));
  test('layerNorm', () => checkGradient((a) => layerNorm({ scale, offset, epsilon: 1e-5 }, a), [x]));
  test('groupNorm', () => {
    const norm = { scale, offset, epsilon: 1e-5, groups: 2 };
    checkGradient((a) => groupNorm(norm, a), [picture], 5e-3); // the mean's rounding is in every output
  });
  test('attention', () => {
    const [key, value] = [filled([2, 5, 4], 0.9), filled([2, 5, 4], 1.3)];
    checkGradient((q, k, v) => attention({ heads: 2 }, q, k, v), [x, key, value]);
  });
  test('causal attention', () => {
    const [key, value] = [filled([2, 3, 4], 0.9), filled([2, 3, 4], 1.3)];
    checkGradient((q, k, v) => attention({ heads: 1, causal: true }, q, k, v), [x, key, value]);
  });
  test.each(Object.entries({ silu, quickGelu, geluExact, geluTanh }))('%s', (_, activation) =>
    checkGradient((a) => activation(a), [filled([2, 6], 0.1)]),
  );
  test('geglu', () => checkGradient((value, gate) => geglu(value, gate), [filled([2, 6], 0.1), filled([2, 6], 0.7)]));
  test.each([
    ['stride 1', 3, 1, [1, 1, 1, 1]],
    ['stride 2', 3, 2, [1, 1, 1, 1]],
    ['stride 2, uneven pads', 3, 2, [0, 1, 0, 1]],
    ['one pixel', 1, 1, [0, 0, 0, 0]],
    ['no pads', 3, 1, [0, 0, 0, 0]],
  ] as const)('conv2d, %s', (_, kernel, stride, pads) => {
    const layer = { filter: filled([kernel, kernel, 4, 3], 0.3), bias: filled([3], 0.2), stride, pads };
    checkGradient((a) => conv2d(layer, a), [picture]);
  });
  test('upsampleNearest to more than double is refused', () => {
    expect(() => upsampleNearest(picture, [9, 10])).toThrowError(expect.objectContaining({ code: 'SIZE_INVALID' }));
  });
  test('upsampleNearest to an odd size', () => checkGradient((a) => upsampleNearest(a, [7, 10]), [picture]));
});

test('a gradient leaves no tensor behind', () => {
  const layer = { filter: filled([3, 3, 4, 4], 0.3), bias: filled([4], 0.2), stride: 1, pads: [1, 1, 1, 1] } as const;
  const norm = { scale: filled([4], 0.6, 1.2), offset: filled([4], 0.7), epsilon: 1e-5, groups: 2 };
  const x = filled([1, 4, 4, 4], 0.4);
  const before = tf.memory().numTensors;
  const { value, grads } = valueAndGrads((a) => tf.sum(conv2d(layer, silu(groupNorm(norm, a)))))([x]);
  tf.dispose([value, ...grads]);
  expect(tf.memory().numTensors).toBe(before);
});

describe('composite', () => {
  const config: tf.KernelConfig = {
    kernelName: 'Silu',
    backendName: 'cpu',
    kernelFunc: ({ inputs }) => {
      const { x } = inputs;
      if (!x) throw new Error('no x');
      return tf.tidy(() => tf.zeros(x.shape));
    },
  };

  test('runs the backend kernel where there is one, and ordinary operations otherwise', () => {
    const x = filled([3], 0.4);
    const [plain] = silu(x).dataSync();
    tf.registerKernel(config);
    try {
      expect(plain).not.toBe(0);
      expect([...silu(x).dataSync()]).toEqual([0, 0, 0]);
    } finally {
      tf.unregisterKernel('Silu', 'cpu');
    }
    expect(silu(x).dataSync()[0]).toBe(plain);
  });
});
