import { sizeOf } from '../graph/graph.js';
import type { Recorder } from '../recorder.js';
import { identity, storedShape, uniform, type View, viewOf } from '../view.js';
import type { Kernel, KernelTable } from './kernel.js';

type Reduction = 'ReduceSum' | 'ReduceMean' | 'ReduceMax' | 'ReduceMin' | 'ReduceProd';

/** What a reduction of equal numbers gives. */
const OF_EQUAL: Readonly<Record<Reduction, (number: number, count: number) => number>> = {
  ReduceSum: (number, count) => number * count,
  ReduceMean: (number) => number,
  ReduceMax: (number) => number,
  ReduceMin: (number) => number,
  ReduceProd: (number, count) => number ** count,
};

/** Reduces over axes of `x`, which stay with length one. */
export function reduced(r: Recorder, op: Reduction, x: View, axes: readonly number[]): View {
  const shape = x.shape.map((size, axis) => (axes.includes(axis) ? 1 : size));
  if (x.source.kind === 'uniform') {
    return uniform(OF_EQUAL[op](x.source.number, sizeOf(axes.map((axis) => x.shape[axis] ?? 1))), shape, x.type);
  }
  const stored = axes.map((axis) => x.order[axis] ?? 0).toSorted((a, b) => a - b);
  const input = r.value({ ...x, shape: storedShape(x), order: identity(x.shape.length) });
  const output = { shape: input.shape.map((size, axis) => (stored.includes(axis) ? 1 : size)), type: x.type };
  // Only the sum takes its axes as an input in this version of the operators.
  const value =
    op === 'ReduceSum'
      ? r.graph.node(op, [input, r.graph.indices(stored)], output, { keepdims: { int: 1 } })
      : r.graph.node(op, [input], output, { keepdims: { int: 1 }, axes: { ints: stored } });
  return viewOf(value, x.order);
}

/** Axes counted from the front; none given means all. */
export function axesOf(axis: number | readonly number[] | undefined, rank: number): number[] {
  if (axis === undefined || axis === null) return identity(rank);
  return [axis].flat().map((i) => (i < 0 ? i + rank : i));
}

function reduction(op: Reduction, axisName: 'axis' | 'reductionIndices'): Kernel {
  return (r, input, attributes) => {
    const x = r.cast(input('x'), input('x').type === 'bool' ? 'int32' : input('x').type);
    const axes = axesOf(attributes[axisName], x.shape.length);
    const result = reduced(r, op, x, axes);
    return attributes.keepDims
      ? result
      : r.reshape(
          result,
          x.shape.filter((_, axis) => !axes.includes(axis)),
        );
  };
}

/** Softmax over the last axis. */
export function softmax(r: Recorder, x: View): View {
  return viewOf(r.graph.node('Softmax', [r.value(x)], { shape: x.shape }, { axis: { int: -1 } }));
}

export const REDUCTIONS: KernelTable = {
  Sum: reduction('ReduceSum', 'axis'),
  Mean: reduction('ReduceMean', 'axis'),
  Max: reduction('ReduceMax', 'reductionIndices'),
  Min: reduction('ReduceMin', 'axis'),
  Prod: reduction('ReduceProd', 'axis'),
  Softmax: (r, input) => softmax(r, input('logits')),
  LogSoftmax: (r, input) => {
    const x = input('logits');
    return viewOf(r.graph.node('LogSoftmax', [r.value(x)], { shape: x.shape }, { axis: { int: -1 } }));
  },
};
