import { MICROSOFT, sizeOf, type Value } from '../graph/graph.js';
import type { Recorder } from '../recorder.js';
import { identity, transposed, type View, viewOf } from '../view.js';
import { activated } from './activations.js';
import type { KernelAttributes, KernelTable } from './kernel.js';

/** The last two axes the other way round. */
export function swapped(view: View): View {
  const rank = view.shape.length;
  return transposed(view, [...identity(rank).slice(0, -2), rank - 1, rank - 2]);
}

/**
 * `a @ b` over the last two axes. Matrices that are stored the other way round are multiplied as they are: a linear layer's weight
 * stays `[O, I]` as in its file.
 */
export function matMul(r: Recorder, a: View, b: View, bias?: View): View {
  const [m = 1, k = 1] = a.shape.slice(-2);
  const n = b.shape.at(-1) ?? 1;
  const batch = a.shape.slice(0, -2);
  const shape = [...batch, m, n];
  if (sizeOf(batch) === 1 && sizeOf(b.shape.slice(0, -2)) === 1) {
    const left = stored2d(r, r.reshape(a, [m, k]));
    const right = stored2d(r, r.reshape(b, [k, n]));
    const product = gemm(r, left, right, bias && r.value(r.reshape(bias, [n])), [m, n]);
    return r.reshape(viewOf(product), shape);
  }
  const product = r.target.fused
    ? asStored(r, a, b)
    : viewOf(r.graph.node('MatMul', [r.value(a), r.value(b)], { shape }));
  return bias ? r.elementwise('Add', [product, bias], { shape }) : product;
}

/** `scale * a @ b` of many matrices, none of which is turned around to be multiplied. Only where operators are fused. */
export function asStored(r: Recorder, a: View, b: View, scale = 1): View {
  const shape = [...a.shape.slice(0, -1), b.shape.at(-1) ?? 1];
  const [left, right] = [lying(a), lying(b)];
  const attributes = {
    ...(left === a ? {} : { transA: { int: 1 } }),
    ...(right === b ? {} : { transB: { int: 1 } }),
    ...(scale === 1 ? {} : { alpha: { float: scale } }),
  };
  const inputs = [r.value(left), r.value(right)];
  return viewOf(
    Object.keys(attributes).length === 0
      ? r.graph.node('MatMul', inputs, { shape })
      : r.graph.node('FusedMatMul', inputs, { shape }, attributes, MICROSOFT),
  );
}

/** `view`, or its transpose where that has the last two axes in the order in which they are stored. */
function lying(view: View): View {
  const [rows = 0, columns = 0] = view.order.slice(-2);
  return rows < columns ? view : swapped(view);
}

interface Stored2d {
  readonly value: Value;
  readonly transposed: boolean;
}

/** A matrix as it is stored, and whether that is the other way round. */
function stored2d(r: Recorder, view: View): Stored2d {
  const turned = view.source.kind !== 'uniform' && view.order[0] === 1 && view.shape.every((size) => size > 1);
  return turned ? { value: r.value(swapped(view)), transposed: true } : { value: r.value(view), transposed: false };
}

function gemm(r: Recorder, a: Stored2d, b: Stored2d, bias: Value | undefined, shape: readonly number[]): Value {
  if (!a.transposed && !b.transposed && !bias) return plain(r, a.value, b.value, shape);
  const attributes = {
    ...(a.transposed ? { transA: { int: 1 } } : {}),
    ...(b.transposed ? { transB: { int: 1 } } : {}),
  };
  return r.graph.node('Gemm', bias ? [a.value, b.value, bias] : [a.value, b.value], { shape }, attributes);
}

/** A product of two matrices; on a CPU, what was reshaped into rows is multiplied as it was, and the result made to fit. */
function plain(r: Recorder, a: Value, b: Value, shape: readonly number[]): Value {
  const whole = r.unshaped(a);
  if (!r.target.fused || whole.shape.at(-1) !== a.shape[1]) return r.graph.node('MatMul', [a, b], { shape });
  const product = r.graph.node('MatMul', [whole, b], { shape: [...whole.shape.slice(0, -1), b.shape[1] ?? 1] });
  return r.inShape(product, shape);
}

function batchMatMul(r: Recorder, a: View, b: View, { transposeA, transposeB }: KernelAttributes, bias?: View): View {
  return matMul(r, transposeA ? swapped(a) : a, transposeB ? swapped(b) : b, bias);
}

export const PRODUCTS: KernelTable = {
  BatchMatMul: (r, input, attributes) => batchMatMul(r, input('a'), input('b'), attributes),
  _FusedMatMul: (r, input, attributes, all) => {
    const product = batchMatMul(r, input('a'), input('b'), attributes, all.length > 2 ? input('bias') : undefined);
    return activated(r, product, attributes);
  },
};
