import type { Tensor } from '../tf.js';
import * as tf from '../tf.js';

// There are three functions called "gelu". None of them goes by that name here.

/** A function of each element. */
export type Activation = (x: Tensor) => Tensor;

const SQRT_2_OVER_PI = Math.sqrt(2 / Math.PI);
const GELU_TANH_CUBIC = 0.044715;
const QUICK_GELU_SLOPE = 1.702;

/** `x * sigmoid(x)`, also called swish. @see Hendrycks & Gimpel 2016, arXiv 1606.08415 */
export const silu: Activation = elementwise('Silu', (x) => tf.mul(x, tf.sigmoid(x)), slopeOfScaledSilu(1));

/** `x * sigmoid(1.702 x)`: what OpenAI's CLIP was trained with. */
export const quickGelu: Activation = elementwise(
  'QuickGelu',
  (x) => tf.mul(x, tf.sigmoid(tf.mul(x, QUICK_GELU_SLOPE))),
  slopeOfScaledSilu(QUICK_GELU_SLOPE),
);

/** `x * Phi(x)` with the exact normal distribution: PyTorch's default and the one in GEGLU. */
export const geluExact: Activation = elementwise('GeluExact', (x) => tf.mul(x, normalCdf(x)), geluExactSlope);

/** The tanh approximation, `gelu_new` and `gelu_pytorch_tanh` of transformers. */
export const geluTanh: Activation = elementwise(
  'GeluTanh',
  (x) => tf.mul(tf.mul(0.5, x), tf.add(1, tf.tanh(geluTanhArgument(x)))),
  (x) => {
    const t = tf.tanh(geluTanhArgument(x));
    const inner = tf.mul(SQRT_2_OVER_PI, tf.add(1, tf.mul(3 * GELU_TANH_CUBIC, tf.square(x))));
    return tf.add(tf.mul(0.5, tf.add(1, t)), tf.mul(tf.mul(tf.mul(0.5, x), tf.sub(1, tf.square(t))), inner));
  },
);

/**
 * Half of the channels, gated by the other half. Value and gate are separate inputs: as one tensor they would be the largest of the network.
 * @param value - `[..., F]`, as `gate`.
 * @see Shazeer 2020, arXiv 2002.05202
 */
export function geglu(value: Tensor, gate: Tensor): Tensor {
  return tf.withGradient(
    [value, gate],
    (save) => {
      save([value, gate]);
      return tf.mul(value, geluExact(gate));
    },
    (dy, saved) => {
      const [ofValue, ofGate] = saved as [Tensor, Tensor];
      return [tf.mul(dy, geluExact(ofGate)), gradientOf('GeluExact', tf.mul(dy, ofValue), ofGate, geluExactSlope)];
    },
  );
}

function geluExactSlope(x: Tensor): Tensor {
  const density = tf.mul(1 / Math.sqrt(2 * Math.PI), tf.exp(tf.mul(-0.5, tf.square(x))));
  return tf.add(normalCdf(x), tf.mul(x, density));
}

/** An element-wise function that keeps nothing but its input, with kernels `name` and `nameGrad` where a backend has them. */
function elementwise(name: string, value: Activation, slope: Activation): Activation {
  return (x) =>
    tf.withGradient(
      [x],
      (save) => {
        save([x]);
        return tf.single(tf.composite(name, { x }, {}, () => [value(x)]));
      },
      (dy, saved) => [gradientOf(name, dy, tf.single(saved), slope)],
    );
}

function gradientOf(name: string, dy: Tensor, x: Tensor, slope: Activation): Tensor {
  return tf.single(tf.composite(`${name}Grad`, { dy, x }, {}, () => [tf.mul(dy, slope(x))]));
}

function slopeOfScaledSilu(scale: number): Activation {
  return (x) => {
    const scaled = tf.mul(x, scale);
    const s = tf.sigmoid(scaled);
    return tf.mul(s, tf.add(1, tf.mul(scaled, tf.sub(1, s))));
  };
}

function normalCdf(x: Tensor): Tensor {
  return tf.mul(0.5, tf.add(1, tf.erf(tf.mul(x, Math.SQRT1_2))));
}

function geluTanhArgument(x: Tensor): Tensor {
  return tf.mul(SQRT_2_OVER_PI, tf.add(x, tf.mul(GELU_TANH_CUBIC, tf.mul(x, tf.square(x)))));
}
