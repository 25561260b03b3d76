import type { Tensor } from '../tf.js';

/**
 * A path into a checkpoint. Models read themselves from one: every read checks the name and the shape, and the
 * checkpoint knows at the end which tensors nobody read.
 *
 * Reading is synchronous and happens twice: once dry (nothing is fetched; wrong names and shapes are found, and the list of what
 * to fetch is made), then with the fetched tensors. A `readX(scope, config)` function must therefore do nothing with a
 * tensor but keep it.
 */
export interface Scope {
  /** The path so far, such as `unet.down_blocks.0`, for messages. */
  readonly path: string;
  /** The scope below `name` (dots separate levels). */
  in(name: string): Scope;
  /** The first of `names` that has tensors below it; for layers that were renamed between library versions. */
  firstOf(...names: string[]): Scope;
  /** Whether a tensor of exactly this name, or any below it, is in the file. */
  has(name: string): boolean;
  /**
   * Reads one tensor as float32.
   * @param shape - Expected shape as stored. Stored shapes that differ only by trailing ones (`[C, C, 1, 1]` for
   *   `[C, C]`) are accepted and reshaped.
   * @param permute - Axes order wanted, such as `[1, 0]` for a linear layer's weight.
   * @throws WEIGHT_MISSING, WEIGHT_SHAPE
   */
  tensor(name: string, shape: readonly number[], permute?: readonly number[]): Tensor;
  /** Declares that a stored tensor is known and not needed, such as `position_ids`. */
  ignore(name: string): void;
}
