import type { Tensor } from '../tf.js';
import * as tf from '../tf.js';

// TensorFlow.js' own sum and concatenation keep their inputs until the backward pass, only to know their shapes. In a deep
// network of residual blocks that is half of the memory of a step, so these remember the shapes alone.

/** The sum of two tensors, the second one repeated along axes where it has length one. @returns the shape of `a` */
export function add(a: Tensor, b: Tensor): Tensor {
  const axes = b.shape.flatMap((size, i) => (size === a.shape[i] ? [] : [i]));
  const shape = [...b.shape];
  return tf.withGradient(
    [a, b],
    () => tf.add(a, b),
    // New tensors: the tape disposes of each gradient on its own.
    (dy) => [tf.clone(dy), axes.length === 0 ? tf.clone(dy) : tf.reshape(tf.sum(dy, axes), shape)],
  );
}

/** Puts tensors side by side along the last axis. */
export function concatChannels(parts: readonly Tensor[]): Tensor {
  const shapes = parts.map((part) => [...part.shape]);
  return tf.withGradient(
    parts,
    () => tf.concat([...parts], -1),
    (dy) => {
      let start = 0;
      return shapes.map((shape) => {
        const begin = [...shape.slice(0, -1).map(() => 0), start];
        start += shape.at(-1) ?? 0;
        return tf.slice(dy, begin, shape);
      });
    },
  );
}
