import type { TensorRef } from '@textual-inversion/core';
import type { ElementType, Value } from './graph/graph.js';
import { sizeOf } from './graph/graph.js';

/** Numbers that the host knows while it records. */
export interface HostNumbers {
  readonly kind: 'numbers';
  readonly data: ArrayLike<number>;
}
/** The same number everywhere; gradients of sums are made of these, in the size of an activation. */
export interface Uniform {
  readonly kind: 'uniform';
  readonly number: number;
}
/** A tensor of a checkpoint; it belongs to no graph. */
export interface Weight {
  readonly kind: 'weight';
  readonly ref: TensorRef;
}

/** Some rows of a weight, the first of its stored axes: they lie together in its file. */
export function rowsOf(ref: TensorRef, first: number, rows: number): TensorRef {
  const [all = 1, ...shape] = ref.shape;
  const perRow = ref.length / all;
  return { ...ref, shape: [rows, ...shape], offset: ref.offset + first * perRow, length: rows * perRow };
}

export interface Recorded {
  readonly kind: 'recorded';
  readonly value: Value;
}

/**
 * What a recorded tensor is: something stored, with its axes in another order. Transposing costs nothing until an
 * operator insists on an order, and most of what TensorFlow.js' channels-last convolutions transpose cancels.
 */
export interface View {
  readonly source: HostNumbers | Uniform | Weight | Recorded;
  readonly type: ElementType;
  /** As the recorded function sees it. */
  readonly shape: readonly number[];
  /** Axis `i` of `shape` is axis `order[i]` of what is stored. */
  readonly order: readonly number[];
}

export function identity(rank: number): number[] {
  return Array.from({ length: rank }, (_, i) => i);
}

export function inverse(order: readonly number[]): number[] {
  const result = identity(order.length);
  order.forEach((from, to) => (result[from] = to));
  return result;
}

/** The shape as stored. */
export function storedShape({ shape, order }: View): number[] {
  return inverse(order).map((axis) => shape[axis] ?? 1);
}

export function viewOf(value: Value, order: readonly number[] = identity(value.shape.length)): View {
  return {
    source: { kind: 'recorded', value },
    type: value.type,
    shape: order.map((axis) => value.shape[axis] ?? 1),
    order,
  };
}

export function uniform(number: number, shape: readonly number[], type: ElementType = 'float32'): View {
  return { source: { kind: 'uniform', number }, type, shape, order: identity(shape.length) };
}

/** Axis `i` of the result is axis `order[i]` of `view`. */
export function transposed(view: View, order: readonly number[]): View {
  return {
    ...view,
    shape: order.map((axis) => view.shape[axis] ?? 1),
    order: order.map((axis) => view.order[axis] ?? 0),
  };
}

/** Whether what is stored differs from `view` at most by axes of length one. */
export function inOrder({ shape, order }: View): boolean {
  const long = order.filter((_, axis) => shape[axis] !== 1);
  return long.every((axis, i) => i === 0 || axis > (long[i - 1] ?? 0));
}

/**
 * The stored shape and the order with which `view` may be seen in `shape` without moving a number; `undefined` where axes that come
 * together lie apart.
 */
export function reshapedInPlace(
  view: View,
  shape: readonly number[],
): { stored: readonly number[]; order: readonly number[] } | undefined {
  if (inOrder(view)) return { stored: shape, order: identity(shape.length) };
  const groups = commonGroups(view.shape, shape);
  for (const { before } of groups) {
    const axes = before.map((axis) => view.order[axis] ?? 0);
    const between = storedShape(view);
    for (let i = 1; i < axes.length; i++) {
      const [from = 0, to = 0] = axes.slice(i - 1, i + 1);
      if (to < from || between.slice(from + 1, to).some((size) => size !== 1)) return undefined;
    }
  }
  const position = ({ before: [first = 0] }: Group): number => view.order[first] ?? 0;
  const long = groups.toSorted((a, b) => position(a) - position(b)).flatMap(({ after }) => after);
  const short = identity(shape.length).filter((axis) => shape[axis] === 1);
  const axes = [...short, ...long];
  return { stored: axes.map((axis) => shape[axis] ?? 1), order: inverse(axes) };
}

interface Group {
  before: number[];
  after: number[];
}

/** Cuts two shapes of one size into the shortest runs of axes that hold the same number of elements; axes of length one are left out. */
function commonGroups(before: readonly number[], after: readonly number[]): Group[] {
  const axesOf = (shape: readonly number[]): number[] => identity(shape.length).filter((axis) => shape[axis] !== 1);
  const [left, right] = [axesOf(before), axesOf(after)];
  const groups: Group[] = [];
  while (left.length > 0 || right.length > 0) {
    const group: Group = { before: left.splice(0, 1), after: right.splice(0, 1) };
    const product = (axes: number[], shape: readonly number[]) => sizeOf(axes.map((axis) => shape[axis] ?? 1));
    for (;;) {
      const difference = product(group.before, before) - product(group.after, after);
      if (difference === 0) break;
      const [list, rest] = difference < 0 ? [group.before, left] : [group.after, right];
      const next = rest.shift();
      if (next === undefined) throw new Error(`[${before.join()}] cannot be seen as [${after.join()}]`);
      list.push(next);
    }
    groups.push(group);
  }
  return groups;
}
