import type { Tensor } from '../tf.js';
import * as tf from '../tf.js';
import { registerGradients } from './gradients.js';

/**
 * Runs a block so that nothing in it is kept for the backward pass: the block is run once more there, and its memory is that
 * of one block instead of the whole network's. The gradient is the same.
 * @param block - A pure function of all its inputs; every input must reach the output.
 * @see Chen et al. 2016, arXiv 1604.06174
 */
export function checkpointed(block: (...inputs: Tensor[]) => Tensor, inputs: readonly Tensor[]): Tensor {
  return tf.withGradient(
    inputs,
    (save) => {
      save([...inputs]);
      return block(...inputs);
    },
    (dy, saved) =>
      gradientsWithin(
        block,
        saved.map((x) => tf.after(x, dy)),
        dy,
      ),
  );
}

/** Gradients computed while others are: TensorFlow.js drops its only tape after either, so the outer one is put aside. */
function gradientsWithin(block: (...inputs: Tensor[]) => Tensor, inputs: readonly Tensor[], dy: Tensor): Tensor[] {
  registerGradients();
  const { state } = tf.engine();
  const { activeTape } = state;
  try {
    return tf.grads(block)([...inputs], dy);
  } finally {
    state.activeTape = activeTape;
  }
}
