import type { Tensor } from '../tf.js';
import * as tf from '../tf.js';

/**
 * Puts a concept's rows in their places among looked-up tokens. This is where the gradient of the rows leaves; the vocabulary
 * itself is never differentiated.
 * @param embedded - `[B, S, D]`, zero at the slots.
 * @param slots - `[B, S, V]`: one where token `s` is the concept's row `v`, zero elsewhere.
 * @param rows - `[V, D]`
 * @returns `[B, S, D]`
 * @see Gal et al. 2022, arXiv 2208.01618, section 3
 */
export function injectConcept(embedded: Tensor, slots: Tensor, rows: Tensor): Tensor {
  const [batch = 0, tokens = 0, width = 0] = embedded.shape;
  const placed = tf.matMul(tf.reshape(slots, [batch * tokens, rows.shape[0] ?? 0]), rows);
  return tf.add(embedded, tf.reshape(placed, [batch, tokens, width]));
}
