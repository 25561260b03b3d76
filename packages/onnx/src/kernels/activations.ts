import { MICROSOFT } from '../graph/graph.js';
import type { Recorder } from '../recorder.js';
import { uniform, type View } from '../view.js';
import { add, ELEMENTWISE, mul, number, sub } from './elementwise.js';
import type { Kernel, KernelAttributes, KernelTable } from './kernel.js';

const QUICK_GELU_SLOPE = 1.702;

function of(r: Recorder, op: string, x: View): View {
  return r.elementwise(op, [x], { shape: x.shape });
}

/** `x * sigmoid(slope x)`, in one pass where ONNX Runtime has it. */
function scaledSilu(slope: number): Kernel {
  return (r, input) => {
    const x = input('x');
    if (r.target.fused)
      return r.elementwise('QuickGelu', [x], { shape: x.shape }, { alpha: { float: slope } }, MICROSOFT);
    return mul(r, x, of(r, 'Sigmoid', mul(r, x, number(slope))));
  };
}

/** `dy * s * (1 + z (1 - s))` with z = slope x and s = sigmoid(z). */
function scaledSiluGrad(slope: number): Kernel {
  return (r, input) => {
    const z = mul(r, r.again(input('x')), number(slope));
    const s = of(r, 'Sigmoid', z);
    const bend = mul(r, z, sub(r, uniform(1, s.shape), s));
    return mul(r, mul(r, input('dy'), s), add(r, bend, number(1)));
  };
}

/** The normal distribution's cumulative function. */
function normalCdf(r: Recorder, x: View): View {
  return mul(r, add(r, of(r, 'Erf', mul(r, x, number(Math.SQRT1_2))), number(1)), number(0.5));
}

export const ACTIVATIONS: KernelTable = {
  Silu: scaledSilu(1),
  SiluGrad: scaledSiluGrad(1),
  QuickGelu: scaledSilu(QUICK_GELU_SLOPE),
  QuickGeluGrad: scaledSiluGrad(QUICK_GELU_SLOPE),
  GeluExact: (r, input) => {
    const x = input('x');
    if (!r.target.fused) return mul(r, x, normalCdf(r, x));
    const y = r.elementwise('Gelu', [x], { shape: x.shape }, {}, MICROSOFT);
    // Asked for a second time it is for the backward pass, which needs the distribution function anyway.
    const again = r.again(y);
    if (again === y) r.remember(y, () => mul(r, x, normalCdf(r, x)));
    return again;
  },
  GeluExactGrad: (r, input) => {
    const x = input('x');
    const density = mul(r, of(r, 'Exp', mul(r, mul(r, x, x), number(-0.5))), number(1 / Math.sqrt(2 * Math.PI)));
    return mul(r, input('dy'), add(r, normalCdf(r, x), mul(r, x, density)));
  },
};

/** What TensorFlow.js' fused kernels do last. */
export function activated(r: Recorder, x: View, attributes: KernelAttributes): View {
  const { activation, leakyreluAlpha } = attributes;
  if (!activation || activation === 'linear') return x;
  const name = { relu: 'Relu', elu: 'Elu', sigmoid: 'Sigmoid', leakyrelu: 'LeakyRelu' }[activation];
  const kernel = name && ELEMENTWISE[name];
  if (!kernel) throw new Error(`no activation ${activation}`);
  const result = kernel(r, () => x, { ...attributes, alpha: leakyreluAlpha }, [x]);
  return Array.isArray(result) ? x : result;
}
