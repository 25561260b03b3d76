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
    if (r.target.fused) return timesSigmoid(r, x, slope);
    return mul(r, x, of(r, 'Sigmoid', mul(r, x, number(slope))));
  };
}

/** `dy * s * (1 + z (1 - s))` with z = slope x and s = sigmoid(z), where `1 - s = sigmoid(-z)`. */
function scaledSiluGrad(slope: number): Kernel {
  return (r, input) => {
    const x = r.again(input('x'));
    const z = mul(r, x, number(slope));
    const s = of(r, 'Sigmoid', z);
    const bend = r.target.fused
      ? mul(r, timesSigmoid(r, x, -slope), number(slope))
      : mul(r, z, sub(r, uniform(1, s.shape), s));
    return mul(r, mul(r, input('dy'), s), add(r, bend, number(1)));
  };
}

/** `x * sigmoid(slope x)` in one pass. */
function timesSigmoid(r: Recorder, x: View, slope: number): View {
  return r.elementwise('QuickGelu', [x], { shape: x.shape }, { alpha: { float: slope } }, MICROSOFT);
}

/** The normal distribution's cumulative function, `(1 + erf(x / sqrt(2))) / 2`; `HardSigmoid` halves and shifts in one pass. */
function normalCdf(r: Recorder, x: View): View {
  const erf = of(r, 'Erf', mul(r, x, number(Math.SQRT1_2)));
  return r.elementwise('HardSigmoid', [erf], { shape: x.shape }, { alpha: { float: 0.5 }, beta: { float: 0.5 } });
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
