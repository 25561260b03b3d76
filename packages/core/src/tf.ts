/**
 * The one door to TensorFlow.js: everything else in core imports tensors and operations from here.
 *
 * `@tensorflow/tfjs-core` registers neither gradients nor chained methods. The gradients that our models need are in
 * `nn/gradients.ts`; call `reshape(x, ...)`, never `x.reshape(...)`.
 */
import * as tf from '@tensorflow/tfjs-core';

export * from '@tensorflow/tfjs-core';
export type { Tensor, Tensor1D, Tensor2D, Tensor3D, Tensor4D } from '@tensorflow/tfjs-core';
export { tf };
