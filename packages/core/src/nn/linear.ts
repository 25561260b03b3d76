import type { Tensor } from '../tf.js';
import * as tf from '../tf.js';
import type { Scope } from '../weights/scope.js';

/** A matrix from the right, and what to add. Frozen. */
export interface Linear {
  /** `[I, O]` */
  readonly weight: Tensor;
  /** `[O]` */
  readonly bias: Tensor | undefined;
}

/** Reads `weight` (stored `[O, I]`, or `[O, I, 1, 1]` where it was a convolution) and `bias`. */
export function readLinear(scope: Scope, inputs: number, outputs: number, options: { bias?: boolean } = {}): Linear {
  return {
    weight: scope.tensor('weight', [outputs, inputs], [1, 0]),
    bias: (options.bias ?? true) ? scope.tensor('bias', [outputs]) : undefined,
  };
}

/** Some of a layer's outputs. */
export interface OutputRange {
  readonly first: number;
  readonly count: number;
}

/**
 * @param x - `[..., I]`
 * @param outputs - Only these. @defaultValue all
 * @returns `[..., O]`
 */
export function linear({ weight, bias }: Linear, x: Tensor, outputs?: OutputRange): Tensor {
  const matrix = () => (outputs ? tf.slice(weight, [0, outputs.first], [-1, outputs.count]) : weight);
  const offset = () => (outputs && bias ? tf.slice(bias, [outputs.first], [outputs.count]) : bias);
  return tf.withGradient(
    [x],
    () => product(x, matrix(), offset()),
    // Transposing first: a kernel that transposes while it multiplies is ten times slower on wasm.
    (dy) => [product(dy, tf.transpose(matrix()), undefined)],
  );
}

/** `x @ weight + bias` over the last axis, as one plain product of matrices. */
function product(x: Tensor, weight: Tensor, bias: Tensor | undefined): Tensor {
  const leading = x.shape.slice(0, -1);
  const [inputs = 0, outputs = 0] = weight.shape;
  const rows = leading.reduce((a, b) => a * b, 1);
  if (bias === undefined) return tf.reshape(tf.matMul(tf.reshape(x, [rows, inputs]), weight), [...leading, outputs]);
  const a = tf.reshape(x, [1, rows, inputs]);
  const b = tf.reshape(weight, [1, inputs, outputs]);
  const attributes = { transposeA: false, transposeB: false, activation: 'linear' };
  const y = tf.composite('_FusedMatMul', { a, b, bias }, attributes, () => [tf.add(tf.matMul(a, b), bias)]);
  return tf.reshape(tf.single(y), [...leading, outputs]);
}
