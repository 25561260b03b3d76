import type { Tensor } from '../../tf.js';

/**
 * Sees what leaves a module, by the reference implementation's name for it. For parity tests and for curiosity; the tensor
 * lives only until the model returns.
 */
export type Tap = (name: string, output: Tensor) => void;

/** The tap of the modules below `name`. */
export function tapBelow(tap: Tap | undefined, name: string): Tap | undefined {
  return tap && ((below, output) => tap(`${name}.${below}`, output));
}

/** Shows `output` to the tap and passes it on. */
export function tapped(tap: Tap | undefined, name: string, output: Tensor): Tensor {
  tap?.(name, output);
  return output;
}
