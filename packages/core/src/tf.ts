/**
 * The one door to TensorFlow.js: everything else in core imports tensors and operations from here.
 *
 * `@tensorflow/tfjs-core` registers neither gradients nor chained methods. The gradients that our models need are in
 * `nn/gradients.ts`; call `reshape(x, ...)`, never `x.reshape(...)`.
 */

import type { NamedAttrMap, NamedTensorMap, Tensor, Tensor4D } from '@tensorflow/tfjs-core';
import * as tf from '@tensorflow/tfjs-core';

export type { Tensor, Tensor1D, Tensor2D, Tensor3D, Tensor4D } from '@tensorflow/tfjs-core';
export * from '@tensorflow/tfjs-core';
export { tf };

/**
 * Runs a kernel that only some backends have: the backend's own where it registered one of this name, ordinary
 * operations otherwise. The engine in `@textual-inversion/onnx` and the WebGPU kernels hook in here.
 *
 * | kernel | inputs | attributes | outputs |
 * |---|---|---|---|
 * | `FusedConv2D` (TensorFlow.js) | x, filter, bias | strides, pad, dataFormat, dilations, activation | y |
 * | `_FusedMatMul` (TensorFlow.js) | a `[1, M, I]`, b `[1, I, O]`, bias `[O]` | transposeA, transposeB, activation | y `[1, M, O]` |
 * | `Conv2DInputGrad` | dy `[B, h, w, O]`, filter `[k, k, I, O]` | stride, pads `[top, bottom, left, right]`, size `[H, W]` | dx `[B, H, W, I]` |
 * | `GroupNorm` | x `[B, ..., C]`, scale `[C]`, offset `[C]` | groups, epsilon | y, mean `[B, G, 1]`, rstd `[B, G, 1]` |
 * | `GroupNormGrad` | dy, x, scale, mean, rstd | groups, epsilon | dx |
 * | `LayerNorm` | x `[..., D]`, scale `[D]`, offset `[D]` | epsilon | y, mean `[..., 1]`, rstd `[..., 1]` |
 * | `LayerNormGrad` | dy, x, scale, mean, rstd | | dx |
 * | `Attention` | query `[B, T, D]`, key `[B, S, D]`, value `[B, S, D]` | heads, causal | y `[B, T, D]` |
 * | `AttentionGrad` | dy, query, key, value, output | heads, causal | dquery, dkey, dvalue |
 * | `After` | x, first | | x |
| `Silu`, `QuickGelu`, `GeluExact`, `GeluTanh` | x | | y |
 * | `SiluGrad`, `QuickGeluGrad`, `GeluExactGrad`, `GeluTanhGrad` | dy, x | | dx |
 *
 * @param fallback - The same in ordinary operations; must not read a tensor's numbers.
 */
export function composite(
  kernel: string,
  inputs: NamedTensorMap,
  attributes: NamedAttrMap,
  fallback: () => Tensor[],
): Tensor[] {
  if (!tf.getKernel(kernel, tf.getBackend())) return fallback();
  const outputs: Tensor | Tensor[] = tf.engine().runKernel(kernel, inputs, attributes);
  return Array.isArray(outputs) ? outputs : [outputs];
}

/** `x` itself. In a recorded graph, what is computed from it waits for `first`, and is not merged with what is computed from `x`. */
export function after(x: Tensor, first: Tensor): Tensor {
  return single(composite('After', { x, first }, {}, () => [x]));
}

/** The only tensor of a one-output kernel. */
export function single(tensors: readonly Tensor[]): Tensor {
  const [first] = tensors;
  if (first === undefined) throw new Error('a kernel returned no tensor');
  return first;
}

/**
 * A function whose gradient is written by hand. Weights that stay frozen are closed over, not listed in `inputs`: the
 * tape asks for the gradient of every input.
 * @param forward - Computes the value; hands to `save` what the gradient needs again.
 * @param backward - One gradient per input, each a new tensor (the tape disposes of them one by one).
 */
export function withGradient(
  inputs: readonly Tensor[],
  forward: (save: (tensors: Tensor[]) => void) => Tensor,
  backward: (dy: Tensor, saved: readonly Tensor[]) => Tensor[],
): Tensor {
  const run = tf.customGrad((...parts) => {
    const save = parts[inputs.length]; // behind the inputs
    if (typeof save !== 'function') throw new Error('customGrad has changed its signature');
    return {
      value: forward(save),
      // The tape tidies nothing that a gradient function leaves behind.
      gradFunc: (dy: Tensor, saved: Tensor[]) => tf.tidy(() => backward(dy, saved)),
    };
  });
  return run(...inputs);
}

/** A picture or a filter, for operations that take nothing else. */
export function rank4(x: Tensor): Tensor4D {
  if (isRank4(x)) return x;
  throw new Error(`expected a tensor of rank 4, not one of shape [${x.shape.join(', ')}]`);
}

function isRank4(x: Tensor): x is Tensor4D {
  return x.rank === 4;
}
