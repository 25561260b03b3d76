import type { Tensor } from '../tf.js';
import * as tf from '../tf.js';
import type { Scope } from '../weights/scope.js';

/** Rows and columns of zeros around a picture. */
export type Pads = readonly [top: number, bottom: number, left: number, right: number];

/** A convolution with a square filter. Frozen. */
export interface Conv2d {
  /** `[K, K, I, O]` */
  readonly filter: Tensor;
  /** `[O]` */
  readonly bias: Tensor | undefined;
  readonly stride: number;
  readonly pads: Pads;
}

export interface Conv2dShape {
  inputs: number;
  outputs: number;
  /** @defaultValue 3 */
  kernel?: number;
  /** @defaultValue 1 */
  stride?: number;
  /** @defaultValue half of the kernel on every side */
  pads?: Pads;
  /** @defaultValue true */
  bias?: boolean;
}

/** Reads `weight` (stored `[O, I, K, K]`) and `bias`. */
export function readConv2d(
  scope: Scope,
  { inputs, outputs, kernel = 3, stride = 1, pads, bias = true }: Conv2dShape,
): Conv2d {
  const half = Math.floor(kernel / 2);
  return {
    filter: scope.tensor('weight', [outputs, inputs, kernel, kernel], [2, 3, 1, 0]),
    bias: bias ? scope.tensor('bias', [outputs]) : undefined,
    stride,
    pads: pads ?? [half, half, half, half],
  };
}

/** @param x - `[B, H, W, I]` @returns `[B, h, w, O]` */
export function conv2d(p: Conv2d, x: Tensor): Tensor {
  const [, height = 0, width = 0] = x.shape;
  return tf.withGradient(
    [x],
    () => convolve(x, p.filter, p.bias, p.stride, p.pads),
    (dy) => [conv2dInputGradient(dy, p.filter, { stride: p.stride, pads: p.pads, size: [height, width] })],
  );
}

/**
 * The gradient of a convolution's input, which is itself a convolution: of `dy`, with zeros between its pixels where
 * the stride was not 1, by the filter turned half around with its channels swapped. Every backend runs that at the speed of
 * a forward pass, which their own input gradients do not reach (wasm: 40 against 3.9 GFLOPS).
 * @param size - Height and width of the input.
 */
export function conv2dInputGradient(
  dy: Tensor,
  filter: Tensor,
  shape: { stride: number; pads: Pads; size: readonly [number, number] },
): Tensor {
  const { stride, pads, size } = shape;
  return tf.single(
    tf.composite('Conv2DInputGrad', { dy, filter }, { stride, pads: [...pads], size: [...size] }, () => {
      const [kernel = 1] = filter.shape;
      const turned = tf.transpose(turnedAround(filter), [0, 1, 3, 2]);
      const spread = dilate(dy, stride);
      const [top, , left] = pads;
      const [, h = 0, w = 0] = spread.shape;
      const [before, ahead] = [kernel - 1 - top, kernel - 1 - left];
      const around: Pads = [before, size[0] + kernel - 1 - h - before, ahead, size[1] + kernel - 1 - w - ahead];
      return [convolve(spread, turned, undefined, 1, around)];
    }),
  );
}

/**
 * A filter turned by 180 degrees: its pixels in reverse order. (`tf.reverse` over two axes and `tf.gather` do that too, three
 * times as slowly on wasm.)
 */
function turnedAround(filter: Tensor): Tensor {
  const [rows = 0, columns = 0, inputs = 0, outputs = 0] = filter.shape;
  const [pixels, size] = [rows * columns, inputs * outputs];
  if (pixels === 1) return filter;
  const flat = tf.reshape(filter, [1, pixels * size]);
  const backwards = Array.from({ length: pixels }, (_, i) => tf.slice(flat, [0, (pixels - 1 - i) * size], [1, size]));
  return tf.reshape(tf.concat(backwards, 1), [rows, columns, inputs, outputs]);
}

function convolve(x: Tensor, filter: Tensor, bias: Tensor | undefined, stride: number, pads: Pads): Tensor {
  const [kernel = 1] = filter.shape;
  // Explicit pads are not known to every backend; 'same' means the same to all of them at stride 1.
  const same = stride === 1 && pads.every((pad) => pad * 2 === kernel - 1);
  const input = tf.rank4(same ? x : frame(x, pads));
  const pad = same ? 'same' : 'valid';
  if (bias === undefined) return tf.conv2d(input, tf.rank4(filter), stride, pad);
  const attributes = { strides: [stride, stride], pad, dataFormat: 'NHWC', dilations: [1, 1], activation: 'linear' };
  return tf.single(
    tf.composite('FusedConv2D', { x: input, filter, bias }, attributes, () => [
      tf.add(tf.conv2d(input, tf.rank4(filter), stride, pad), bias),
    ]),
  );
}

const cut = (pad: number): number => Math.min(pad, 0);

/** Adds zeros around a picture; a negative pad cuts. */
function frame(x: Tensor, [top, bottom, left, right]: Pads): Tensor {
  const [batch = 0, height = 0, width = 0, channels = 0] = x.shape;
  const begin = [0, -cut(top), -cut(left), 0];
  const size = [batch, height + cut(top) + cut(bottom), width + cut(left) + cut(right), channels];
  const inner = size.every((length, i) => length === x.shape[i]) ? x : tf.slice(x, begin, size);
  const outer = [top, bottom, left, right].map((pad) => Math.max(pad, 0));
  if (outer.every((pad) => pad === 0)) return inner;
  const [t = 0, b = 0, l = 0, r = 0] = outer;
  return tf.pad(inner, [
    [0, 0],
    [t, b],
    [l, r],
    [0, 0],
  ]);
}

/** Puts `stride - 1` zeros behind every row and every column. */
function dilate(x: Tensor, stride: number): Tensor {
  if (stride === 1) return x;
  const [batch = 0, height = 0, width = 0, channels = 0] = x.shape;
  const columns = tf.pad(tf.reshape(x, [batch * height, width, 1, channels]), [
    [0, 0],
    [0, 0],
    [0, stride - 1],
    [0, 0],
  ]);
  const rows = tf.pad(tf.reshape(columns, [batch, height, 1, width * stride * channels]), [
    [0, 0],
    [0, 0],
    [0, stride - 1],
    [0, 0],
  ]);
  return tf.reshape(rows, [batch, height * stride, width * stride, channels]);
}
