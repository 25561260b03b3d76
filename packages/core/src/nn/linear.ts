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

/** @param x - `[..., I]` @returns `[..., O]` */
export function linear(p: Linear, x: Tensor): Tensor {
  return tf.withGradient(
    [x],
    () => product(x, p.weight, p.bias),
    // Transposing first: a kernel that transposes while it multiplies is ten times slower on wasm.
    (dy) => [product(dy, tf.transpose(p.weight), undefined)],
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
