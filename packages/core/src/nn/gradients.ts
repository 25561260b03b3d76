import { TextualInversionError } from '../errors.js';
import type { GradConfig, Tensor } from '../tf.js';
import * as tf from '../tf.js';
import { conv2dInputGradient } from './conv2d.js';

/** What a kernel saved: as many tensors as its entry asked for. */
type Saved = readonly Tensor[] & { readonly 0: Tensor; readonly 1: Tensor };
/** The attributes that the kernels below have, by TensorFlow.js' names; each entry reads those of its own kernel. */
interface Attributes {
  readonly axis: number | number[];
  readonly reductionIndices: number | number[];
  readonly perm: number[];
  readonly begin: number[];
  readonly size: number[];
  readonly paddings: [number, number][];
  readonly reps: number[];
  readonly transposeA: boolean;
  readonly transposeB: boolean;
  readonly strides: number | [number, number];
  readonly pad: 'valid' | 'same' | number;
  readonly dilations: number | [number, number] | undefined;
  readonly dataFormat: 'NHWC' | 'NCHW';
  readonly alignCorners: boolean;
  readonly halfPixelCenters: boolean;
}
/** Input name to its gradient; the tape asks for those it needs. */
type NamedGradientMap = Record<string, () => Tensor>;
type Gradient = (dy: Tensor, saved: Saved, attributes: Attributes) => NamedGradientMap;
interface Keep {
  inputs?: string[];
  output?: boolean;
  all?: boolean;
}

let registered = false;

/**
 * Registers the gradients of the kernels that our models use; TensorFlow.js' core has none. Calling it again, or loading
 * the `@tensorflow/tfjs` bundle (which registers its own), is harmless.
 */
export function registerGradients(): void {
  if (registered) return;
  registered = true;
  for (const [kernelName, keep, gradient] of GRADIENTS) {
    const config: GradConfig = {
      kernelName,
      inputsToSave: keep.inputs ?? [],
      outputsToSave: [keep.output ?? false],
      saveAllInputs: keep.all ?? false,
      // None of these kernels has several outputs, and each saves what its entry says.
      /* oxlint-disable typescript/no-unsafe-type-assertion -- TensorFlow.js types all kernels alike */
      gradFunc: (dy, saved, attributes) =>
        gradient(dy as Tensor, saved as unknown as Saved, attributes as unknown as Attributes),
      /* oxlint-enable typescript/no-unsafe-type-assertion */
    };
    tf.registerGradient(config);
  }
}

/** {@link tf.valueAndGrads}, with the gradients above in place. */
export function valueAndGrads(
  f: (...inputs: Tensor[]) => tf.Scalar,
): (inputs: Tensor[]) => { value: Tensor; grads: Tensor[] } {
  registerGradients();
  return tf.valueAndGrads(f);
}

/** Sums `dy` over the axes along which an input of `shape` was broadcast. Always a new tensor. */
function toShape(dy: Tensor, shape: readonly number[]): Tensor {
  const axes = tf.broadcast_util.getReductionAxes([...shape], dy.shape);
  return tf.reshape(axes.length > 0 ? tf.sum(dy, axes) : dy, [...shape]);
}

/** Repeats `dy`, reduced over `axis`, along the reduced axes of `shape`. */
function spread(dy: Tensor, shape: readonly number[], axis: number | number[]): Tensor {
  const axes = tf.util.parseAxisParam(axis, [...shape]);
  const kept = shape.map((size, i) => (axes.includes(i) ? 1 : size));
  return tf.tile(
    tf.reshape(dy, kept),
    shape.map((size, i) => (axes.includes(i) ? size : 1)),
  );
}

function reducedSize(shape: readonly number[], axis: number | number[]): number {
  const axes = tf.util.parseAxisParam(axis, [...shape]);
  return axes.reduce((size, i) => size * (shape[i] ?? 1), 1);
}

/** One entry per kernel: what the forward pass keeps, and the gradients of its inputs. */
const GRADIENTS: readonly (readonly [kernel: string, keep: Keep, gradient: Gradient])[] = [
  // Arithmetic, with broadcasting.
  ['Add', { inputs: ['a', 'b'] }, (dy, [a, b]) => ({ a: () => toShape(dy, a.shape), b: () => toShape(dy, b.shape) })],
  [
    'Sub',
    { inputs: ['a', 'b'] },
    (dy, [a, b]) => ({ a: () => toShape(dy, a.shape), b: () => toShape(tf.neg(dy), b.shape) }),
  ],
  [
    'Multiply',
    { inputs: ['a', 'b'] },
    (dy, [a, b]) => ({ a: () => toShape(tf.mul(dy, b), a.shape), b: () => toShape(tf.mul(dy, a), b.shape) }),
  ],
  [
    'RealDiv',
    { inputs: ['a', 'b'] },
    (dy, [a, b]) => ({
      a: () => toShape(tf.div(dy, b), a.shape),
      b: () => toShape(tf.neg(tf.div(tf.mul(dy, a), tf.square(b))), b.shape),
    }),
  ],
  [
    'SquaredDifference',
    { inputs: ['a', 'b'] },
    (dy, [a, b]) => ({
      a: () => toShape(tf.mul(dy, tf.mul(tf.sub(a, b), 2)), a.shape),
      b: () => toShape(tf.mul(dy, tf.mul(tf.sub(b, a), 2)), b.shape),
    }),
  ],

  // One input, element by element.
  ['Neg', {}, (dy) => ({ x: () => tf.neg(dy) })],
  ['Identity', {}, (dy) => ({ x: () => tf.clone(dy) })],
  ['Cast', {}, (dy) => ({ x: () => tf.clone(dy) })],
  ['Exp', { output: true }, (dy, [y]) => ({ x: () => tf.mul(dy, y) })],
  ['Log', { inputs: ['x'] }, (dy, [x]) => ({ x: () => tf.div(dy, x) })],
  ['Sigmoid', { output: true }, (dy, [y]) => ({ x: () => tf.mul(dy, tf.mul(y, tf.sub(1, y))) })],
  ['Tanh', { output: true }, (dy, [y]) => ({ x: () => tf.mul(dy, tf.sub(1, tf.square(y))) })],
  [
    'Erf',
    { inputs: ['x'] },
    (dy, [x]) => ({ x: () => tf.mul(dy, tf.mul(2 / Math.sqrt(Math.PI), tf.exp(tf.neg(tf.square(x))))) }),
  ],
  ['Sqrt', { output: true }, (dy, [y]) => ({ x: () => tf.div(dy, tf.mul(y, 2)) })],
  ['Rsqrt', { output: true }, (dy, [y]) => ({ x: () => tf.mul(dy, tf.mul(-0.5, tf.mul(y, tf.square(y)))) })],
  ['Square', { inputs: ['x'] }, (dy, [x]) => ({ x: () => tf.mul(dy, tf.mul(x, 2)) })],
  ['Relu', { output: true }, (dy, [y]) => ({ x: () => tf.mul(dy, tf.cast(tf.greater(y, 0), 'float32')) })],

  // Reductions.
  ['Sum', { inputs: ['x'] }, (dy, [x], { axis }) => ({ x: () => spread(dy, x.shape, axis) })],
  [
    'Mean',
    { inputs: ['x'] },
    (dy, [x], { axis }) => ({ x: () => spread(tf.div(dy, reducedSize(x.shape, axis)), x.shape, axis) }),
  ],
  [
    'Max',
    { inputs: ['x'], output: true },
    (dy, [x, y], { reductionIndices }) => ({
      x: () =>
        tf.mul(
          spread(dy, x.shape, reductionIndices),
          tf.cast(tf.equal(x, spread(y, x.shape, reductionIndices)), 'float32'),
        ),
    }),
  ],
  [
    'Softmax',
    { output: true },
    (dy, [y]) => ({ logits: () => tf.mul(y, tf.sub(dy, tf.sum(tf.mul(dy, y), -1, true))) }),
  ],

  // Shapes.
  ['Reshape', { inputs: ['x'] }, (dy, [x]) => ({ x: () => tf.reshape(dy, x.shape) })],
  ['ExpandDims', { inputs: ['input'] }, (dy, [x]) => ({ input: () => tf.reshape(dy, x.shape) })],
  ['Transpose', {}, (dy, _, { perm }) => ({ x: () => tf.transpose(dy, inverse(perm)) })],
  ['Slice', { inputs: ['x'] }, (dy, [x], { begin, size }) => ({ x: () => padBack(dy, x.shape, begin, size) })],
  [
    'PadV2',
    {},
    (dy, _, { paddings }) => {
      const size = dy.shape.map((length, i) => length - (paddings[i]?.[0] ?? 0) - (paddings[i]?.[1] ?? 0));
      return {
        x: () =>
          tf.slice(
            dy,
            paddings.map(([before]) => before),
            size,
          ),
      };
    },
  ],
  [
    'Concat',
    { all: true },
    (dy, saved, { axis }) => {
      const along = tf.util.parseAxisParam(axis, dy.shape)[0] ?? 0;
      const gradients: NamedGradientMap = {};
      let start = 0;
      saved.forEach((part, i) => {
        const begin = dy.shape.map((_, k) => (k === along ? start : 0));
        gradients[i] = () => tf.slice(dy, begin, part.shape);
        start += part.shape[along] ?? 0;
      });
      return gradients;
    },
  ],
  ['Tile', { inputs: ['x'] }, (dy, [x], { reps }) => ({ x: () => untile(dy, x.shape, reps) })],

  // Products.
  ['BatchMatMul', { inputs: ['a', 'b'] }, matMulGradient],
  [
    'Conv2D',
    { inputs: ['x', 'filter'] },
    (dy, [x, filter], { strides, pad, dilations, dataFormat }) => {
      const info = tf.backend_util.computeConv2DInfo(
        tf.rank4(x).shape,
        tf.rank4(filter).shape,
        strides,
        dilations ?? 1,
        pad,
        undefined,
        false,
        dataFormat === 'NCHW' ? 'channelsFirst' : 'channelsLast',
      );
      const { top, bottom, left, right } = info.padInfo;
      if (
        info.dilationHeight !== 1 ||
        info.dilationWidth !== 1 ||
        dataFormat === 'NCHW' ||
        info.strideHeight !== info.strideWidth
      ) {
        throw unsupported('Conv2D', 'one stride for both axes, no dilation, channels last');
      }
      return {
        x: () =>
          conv2dInputGradient(dy, filter, {
            stride: info.strideHeight,
            pads: [top, bottom, left, right],
            size: [info.inHeight, info.inWidth],
          }),
        filter: () => {
          throw unsupported('Conv2D', 'a frozen filter: only concept rows are trained');
        },
      };
    },
  ],
  [
    'ResizeNearestNeighbor',
    { inputs: ['images'] },
    (dy, [x], { alignCorners, halfPixelCenters }) => {
      const [factorH, factorW] = [(dy.shape[1] ?? 0) / (x.shape[1] ?? 1), (dy.shape[2] ?? 0) / (x.shape[2] ?? 1)];
      if (alignCorners || halfPixelCenters || !Number.isInteger(factorH) || !Number.isInteger(factorW)) {
        throw unsupported('ResizeNearestNeighbor', 'a whole factor, without alignCorners and halfPixelCenters');
      }
      return {
        images: () =>
          tf.mul(tf.avgPool(tf.rank4(dy), [factorH, factorW], [factorH, factorW], 'valid'), factorH * factorW),
      };
    },
  ],
];

/** The gradients of `a @ b`, where either may be transposed. Both have the same leading axes. */
function matMulGradient(dy: Tensor, [a, b]: Saved, { transposeA, transposeB }: Attributes): NamedGradientMap {
  if (transposeA && transposeB) return { a: () => tf.matMul(b, dy, true, true), b: () => tf.matMul(dy, a, true, true) };
  if (transposeA) return { a: () => tf.matMul(b, dy, false, true), b: () => tf.matMul(a, dy) };
  if (transposeB) return { a: () => tf.matMul(dy, b), b: () => tf.matMul(dy, a, true) };
  return { a: () => tf.matMul(dy, b, false, true), b: () => tf.matMul(a, dy, true) };
}

function inverse(permutation: readonly number[]): number[] {
  const result = [...permutation];
  permutation.forEach((from, to) => (result[from] = to));
  return result;
}

function padBack(dy: Tensor, shape: readonly number[], begin: readonly number[], size: readonly number[]): Tensor {
  return tf.pad(
    dy,
    shape.map((length, i): [number, number] => {
      const first = begin[i] ?? 0;
      const taken = (size[i] ?? -1) === -1 ? length - first : (size[i] ?? 0);
      return [first, length - first - taken];
    }),
  );
}

/** Sums the copies that `tile` made, one axis at a time. */
function untile(dy: Tensor, shape: readonly number[], reps: readonly number[]): Tensor {
  let sum = dy;
  reps.forEach((times, axis) => {
    if (times === 1) return;
    const split = [...sum.shape.slice(0, axis), times, ...shape.slice(axis, axis + 1), ...sum.shape.slice(axis + 1)];
    sum = tf.sum(tf.reshape(sum, split), axis);
  });
  return sum === dy ? tf.reshape(dy, [...shape]) : sum;
}

function unsupported(kernel: string, expected: string): TextualInversionError {
  return new TextualInversionError('KERNEL_UNSUPPORTED', { where: `gradient of ${kernel}`, expected });
}
