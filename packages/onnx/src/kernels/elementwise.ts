import type { ElementType } from '../graph/graph.js';
import type { Recorder } from '../recorder.js';
import { uniform, type View } from '../view.js';
import type { Kernel, KernelTable } from './kernel.js';
import { slice } from './shapes.js';

interface Unary {
  /** ONNX operator. */
  readonly op: string;
  /** The same on a number, to fold what is known. */
  readonly of: (x: number) => number;
}

const UNARY: Readonly<Record<string, Unary>> = {
  Abs: { op: 'Abs', of: Math.abs },
  Ceil: { op: 'Ceil', of: Math.ceil },
  Cos: { op: 'Cos', of: Math.cos },
  Elu: { op: 'Elu', of: (x) => (x < 0 ? Math.expm1(x) : x) },
  Exp: { op: 'Exp', of: Math.exp },
  Floor: { op: 'Floor', of: Math.floor },
  Log: { op: 'Log', of: Math.log },
  Neg: { op: 'Neg', of: (x) => -x },
  Reciprocal: { op: 'Reciprocal', of: (x) => 1 / x },
  Relu: { op: 'Relu', of: (x) => Math.max(x, 0) },
  Sigmoid: { op: 'Sigmoid', of: (x) => 1 / (1 + Math.exp(-x)) },
  Sign: { op: 'Sign', of: Math.sign },
  Sin: { op: 'Sin', of: Math.sin },
  Softplus: { op: 'Softplus', of: (x) => Math.log1p(Math.exp(x)) },
  Sqrt: { op: 'Sqrt', of: Math.sqrt },
  Tanh: { op: 'Tanh', of: Math.tanh },
};

interface Binary extends Pick<Unary, 'op'> {
  readonly of: (a: number, b: number) => number;
  /** A second operand that changes nothing. */
  readonly neutral?: number;
  /** Whether the operands may be swapped. */
  readonly commutes?: boolean;
  readonly type?: ElementType;
}

const BINARY: Readonly<Record<string, Binary>> = {
  Add: { op: 'Add', of: (a, b) => a + b, neutral: 0, commutes: true },
  Sub: { op: 'Sub', of: (a, b) => a - b, neutral: 0 },
  Multiply: { op: 'Mul', of: (a, b) => a * b, neutral: 1, commutes: true },
  RealDiv: { op: 'Div', of: (a, b) => a / b, neutral: 1 },
  Pow: { op: 'Pow', of: Math.pow, neutral: 1 },
  Maximum: { op: 'Max', of: Math.max, commutes: true },
  Minimum: { op: 'Min', of: Math.min, commutes: true },
  Equal: { op: 'Equal', of: (a, b) => Number(a === b), type: 'bool' },
  Greater: { op: 'Greater', of: (a, b) => Number(a > b), type: 'bool' },
  GreaterEqual: { op: 'GreaterOrEqual', of: (a, b) => Number(a >= b), type: 'bool' },
  Less: { op: 'Less', of: (a, b) => Number(a < b), type: 'bool' },
  LessEqual: { op: 'LessOrEqual', of: (a, b) => Number(a <= b), type: 'bool' },
  LogicalAnd: { op: 'And', of: (a, b) => Number(a !== 0 && b !== 0), type: 'bool' },
  LogicalOr: { op: 'Or', of: (a, b) => Number(a !== 0 || b !== 0), type: 'bool' },
};

export function unary(r: Recorder, { op, of }: Unary, x: View): View {
  if (x.source.kind === 'uniform') return uniform(of(x.source.number), x.shape, x.type);
  return r.elementwise(op, [x], { shape: x.shape, type: x.type });
}

export function binary(r: Recorder, name: keyof typeof BINARY, a: View, b: View): View {
  const entry = BINARY[name];
  if (!entry) throw new Error(`no binary kernel ${name}`);
  const { op, of, neutral, commutes, type = a.type } = entry;
  const shape = broadcastShape(a.shape, b.shape);
  if (a.source.kind === 'uniform' && b.source.kind === 'uniform') {
    return uniform(of(a.source.number, b.source.number), shape, type);
  }
  const same = (view: View): boolean => view.shape.join() === shape.join();
  if (isNumber(b, neutral) && same(a)) return a;
  if (commutes && isNumber(a, neutral) && same(b)) return b;
  return r.elementwise(op, [a, b], { shape, type });
}

export const add = (r: Recorder, a: View, b: View): View => binary(r, 'Add', a, b);
export const sub = (r: Recorder, a: View, b: View): View => binary(r, 'Sub', a, b);
export const mul = (r: Recorder, a: View, b: View): View => binary(r, 'Multiply', a, b);
export const number = (value: number): View => uniform(value, []);

function isNumber({ source }: View, number: number | undefined): boolean {
  return number !== undefined && source.kind === 'uniform' && source.number === number;
}

function broadcastShape(a: readonly number[], b: readonly number[]): number[] {
  const rank = Math.max(a.length, b.length);
  return Array.from({ length: rank }, (_, i) => {
    const [x = 1, y = 1] = [a[i - rank + a.length], b[i - rank + b.length]];
    if (x !== y && x !== 1 && y !== 1) throw new Error(`[${a.join()}] and [${b.join()}] do not broadcast`);
    return x === 1 ? y : x;
  });
}

const squared: Kernel = (r, input) => mul(r, input('x'), input('x'));

export const ELEMENTWISE: KernelTable = {
  ...Object.fromEntries(
    Object.entries(UNARY).map(([name, entry]): [string, Kernel] => [name, (r, input) => unary(r, entry, input('x'))]),
  ),
  ...Object.fromEntries(
    Object.keys(BINARY).map((name): [string, Kernel] => [name, (r, input) => binary(r, name, input('a'), input('b'))]),
  ),
  Erf: (r, input) => r.elementwise('Erf', [input('x')], { shape: input('x').shape }),
  Rsqrt: (r, input) => {
    const root = unary(r, { op: 'Sqrt', of: Math.sqrt }, input('x'));
    return unary(r, { op: 'Reciprocal', of: (x) => 1 / x }, root);
  },
  Square: squared,
  AddN: (r, _, __, all) => all.reduce((sum, part) => add(r, sum, part)),
  SquaredDifference: (r, input) => {
    const difference = sub(r, input('a'), input('b'));
    return mul(r, difference, difference);
  },
  LogicalNot: (r, input) => r.elementwise('Not', [input('x')], { shape: input('x').shape, type: 'bool' }),
  LeakyRelu: (r, input, { alpha }) =>
    r.elementwise('LeakyRelu', [input('x')], { shape: input('x').shape }, { alpha: { float: alpha } }),
  ClipByValue: (r, input, { clipValueMin, clipValueMax }) => {
    const upper = binary(r, 'Minimum', input('x'), number(clipValueMax));
    return binary(r, 'Maximum', upper, number(clipValueMin));
  },
  Cast: (r, input, { dtype }) => r.cast(input('x'), dtype),
  Select: (r, input) => {
    const [condition, t, e] = [input('condition'), input('t'), input('e')];
    // A condition of lower rank chooses whole rows, from the left; ONNX broadcasts from the right.
    const missing = t.shape.length - condition.shape.length;
    const aligned =
      missing > 0 ? r.reshape(condition, [...condition.shape, ...Array<number>(missing).fill(1)]) : condition;
    return r.elementwise('Where', [r.cast(aligned, 'bool'), t, e], { shape: t.shape, type: t.type });
  },
  Identity: (_, input) => input('x'),
  After: (r, input) => {
    const [x, first] = [input('x'), input('first')];
    const one = slice(
      r,
      first,
      first.shape.map(() => 0),
      first.shape.map(() => 1),
    );
    return add(r, x, r.reshape(mul(r, one, number(0)), []));
  },
  ZerosLike: (_, input) => uniform(0, input('x').shape, input('x').type),
  OnesLike: (_, input) => uniform(1, input('x').shape, input('x').type),
  Fill: (_, __, { shape, value, dtype }) => uniform(value, shape, dtype ?? 'float32'),
};
