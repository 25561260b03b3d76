import { TextualInversionError } from '../errors.js';
import type { Tensor } from '../tf.js';
import * as tf from '../tf.js';

/**
 * Doubles height and width by repeating pixels.
 * @param x - `[B, H, W, C]`
 * @param size - Height and width wanted, each double or double minus one (where the way down met an odd size).
 * @returns `[B, ...size, C]`
 * @throws SIZE_INVALID when more than double is wanted: a network that halves without padding takes no odd sizes.
 */
export function upsampleNearest(x: Tensor, size?: readonly [number, number]): Tensor {
  const [batch = 0, height = 0, width = 0, channels = 0] = x.shape;
  if (size !== undefined && (size[0] > height * 2 || size[1] > width * 2)) {
    throw new TextualInversionError('SIZE_INVALID', {
      where: 'latents',
      expected: 'sides that can be halved evenly',
      found: `${size.join(' x ')} on the way down, ${height} x ${width} on the way up`,
    });
  }
  const doubled = tf.withGradient(
    [x],
    () => tf.image.resizeNearestNeighbor(tf.rank4(x), [height * 2, width * 2]),
    // Every pixel was copied four times: the sum of the four is four times their mean.
    (dy) => [tf.mul(tf.avgPool(tf.rank4(dy), 2, 2, 'valid'), 4)],
  );
  if (size === undefined || (size[0] === height * 2 && size[1] === width * 2)) return doubled;
  return tf.slice(doubled, [0, 0, 0, 0], [batch, size[0], size[1], channels]);
}
