import { TextualInversionError } from '@textual-inversion/core';
import { sizeOf } from '../graph/graph.js';
import type { Recorder } from '../recorder.js';
import { identity, rowsOf, storedShape, transposed, type View, viewOf } from '../view.js';
import type { Kernel, KernelTable } from './kernel.js';
import { axesOf } from './reduce.js';

/** What is stored, in its own order, for operators that can be told about axes one by one. */
function raw(r: Recorder, view: View) {
  return r.value({ ...view, shape: storedShape(view), order: identity(view.shape.length) });
}

/** Per-axis numbers in stored order. */
function inStoredOrder(view: View, numbers: readonly number[]): number[] {
  const result = [...numbers];
  view.order.forEach((to, from) => (result[to] = numbers[from] ?? 0));
  return result;
}

export function slice(r: Recorder, x: View, begin: readonly number[], size: readonly number[]): View {
  const shape = x.shape.map((length, i) => ((size[i] ?? -1) === -1 ? length - (begin[i] ?? 0) : (size[i] ?? 0)));
  if (shape.join() === x.shape.join()) return x;
  if (x.source.kind === 'uniform') return { ...x, shape };
  const starts = inStoredOrder(
    x,
    x.shape.map((_, i) => begin[i] ?? 0),
  );
  const lengths = inStoredOrder(x, shape);
  const stored = storedShape(x);
  const { source } = x;
  const inRows = lengths.every((length, axis) => axis === 0 || length === stored[axis]);
  if (source.kind === 'weight' && inRows && source.ref.shape[0] === stored[0])
    return { ...x, shape, source: { kind: 'weight', ref: rowsOf(source.ref, starts[0] ?? 0, lengths[0] ?? 0) } };
  const axes = identity(starts.length).filter((axis) => lengths[axis] !== stored[axis]);
  const pick = (numbers: readonly number[]) => r.graph.indices(axes.map((axis) => numbers[axis] ?? 0));
  const ends = starts.map((start, i) => start + (lengths[i] ?? 0));
  const inputs = [raw(r, x), pick(starts), pick(ends), r.graph.indices(axes)];
  return viewOf(r.graph.node('Slice', inputs, { shape: lengths, type: x.type }), x.order);
}

export function concat(r: Recorder, parts: readonly View[], axis: number): View {
  const [only] = parts;
  if (only && parts.length === 1) return only;
  const largest = parts.toSorted((a, b) => sizeOf(b.shape) - sizeOf(a.shape))[0];
  if (!largest) throw new Error('nothing to put side by side');
  const { order } = largest;
  const inputs = parts.map((part) => {
    const { source, shape } = part;
    return source.kind === 'uniform'
      ? r.value({ ...part, shape: inStoredOrder(largest, shape) })
      : r.aligned(part, order);
  });
  const total = parts.reduce((sum, part) => sum + (part.shape[axis] ?? 0), 0);
  const shape = inStoredOrder(
    largest,
    largest.shape.map((size, i) => (i === axis ? total : size)),
  );
  const value = r.graph.node('Concat', inputs, { shape, type: largest.type }, { axis: { int: order[axis] ?? 0 } });
  return viewOf(value, order);
}

export function pad(r: Recorder, x: View, paddings: readonly (readonly [number, number])[], fill = 0): View {
  if (paddings.every(([before, after]) => before === 0 && after === 0)) return x;
  const before = inStoredOrder(
    x,
    paddings.map(([first]) => first),
  );
  const after = inStoredOrder(
    x,
    paddings.map(([, last]) => last),
  );
  const value = raw(r, x);
  const shape = value.shape.map((size, i) => size + (before[i] ?? 0) + (after[i] ?? 0));
  const inputs = [value, r.graph.indices([...before, ...after]), r.graph.scalar(fill, x.type)];
  return viewOf(r.graph.node('Pad', inputs, { shape, type: x.type }), x.order);
}

function tile(r: Recorder, x: View, reps: readonly number[]): View {
  const shape = x.shape.map((size, i) => size * (reps[i] ?? 1));
  if (x.source.kind === 'uniform') return { ...x, shape };
  if (reps.every((times) => times === 1)) return x;
  const stored = inStoredOrder(x, shape);
  // Repeating an axis of length one is broadcasting.
  if (x.shape.every((size, i) => size === 1 || reps[i] === 1)) {
    return viewOf(
      r.graph.node('Expand', [raw(r, x), r.graph.indices(stored)], { shape: stored, type: x.type }),
      x.order,
    );
  }
  const times = r.graph.indices(inStoredOrder(x, reps));
  return viewOf(r.graph.node('Tile', [raw(r, x), times], { shape: stored, type: x.type }), x.order);
}

/** Turns axes around. */
export function reverse(r: Recorder, x: View, axes: readonly number[]): View {
  if (x.source.kind === 'uniform' || axes.length === 0) return x;
  const value = raw(r, x);
  const stored = axes.map((axis) => x.order[axis] ?? 0);
  const all = (number: number) => r.graph.indices(stored.map(() => number));
  const end = -(2 ** 31);
  const inputs = [value, all(-1), all(end), r.graph.indices(stored), all(-1)];
  return viewOf(r.graph.node('Slice', inputs, { shape: value.shape, type: x.type }), x.order);
}

const reshape: Kernel = (r, input, { shape }) => {
  const x = input('x');
  const known = sizeOf(shape.filter((size) => size !== -1));
  return r.reshape(
    x,
    shape.map((size) => (size === -1 ? sizeOf(x.shape) / known : size)),
  );
};

/** Ids that the host knows, for kernels which look things up. */
function hostIndices(view: View, where: string): ArrayLike<number> {
  const { source, shape } = view;
  if (source.kind === 'numbers') return source.data;
  if (source.kind === 'uniform') return Array<number>(sizeOf(shape)).fill(source.number);
  throw new TextualInversionError('KERNEL_UNSUPPORTED', {
    where,
    expected: 'indices that are known while recording',
    found: 'indices that are computed',
  });
}

function gather(r: Recorder, x: View, indices: View, axis: number): View {
  const shape = [...x.shape.slice(0, axis), ...indices.shape, ...x.shape.slice(axis + 1)];
  const ids = BigInt64Array.from(Array.from(hostIndices(indices, 'GatherV2')), BigInt);
  const inputs = [r.value(x), r.graph.constant(ids, indices.shape, 'int64')];
  return viewOf(r.graph.node('Gather', inputs, { shape, type: x.type }, { axis: { int: axis } }));
}

function oneHot(indices: View, depth: number, onValue: number, offValue: number): View {
  const ids = hostIndices(indices, 'OneHot');
  const data = new Float32Array(ids.length * depth).fill(offValue);
  for (let i = 0; i < ids.length; i++) {
    const id = ids[i] ?? -1;
    if (id >= 0 && id < depth) data[i * depth + id] = onValue;
  }
  const shape = [...indices.shape, depth];
  return { source: { kind: 'numbers', data }, type: 'float32', shape, order: identity(shape.length) };
}

function unpack(r: Recorder, x: View, axis: number): View[] {
  const shape = x.shape.filter((_, i) => i !== axis);
  return Array.from({ length: x.shape[axis] ?? 0 }, (_, i) => {
    const begin = x.shape.map((__, k) => (k === axis ? i : 0));
    return r.reshape(
      slice(
        r,
        x,
        begin,
        x.shape.map((size, k) => (k === axis ? 1 : size)),
      ),
      shape,
    );
  });
}

function split(r: Recorder, x: View, splits: number | readonly number[], axis: number): View[] {
  const length = x.shape[axis] ?? 0;
  const sizes = typeof splits === 'number' ? Array<number>(splits).fill(length / splits) : splits;
  let start = 0;
  return sizes.map((size) => {
    const begin = x.shape.map((_, k) => (k === axis ? start : 0));
    start += size;
    return slice(
      r,
      x,
      begin,
      x.shape.map((all, k) => (k === axis ? size : all)),
    );
  });
}

const axisIn = (axis: number, rank: number): number => axesOf(axis, rank)[0] ?? 0;
const first = (axis: number | readonly number[] | undefined): number => [axis ?? 0].flat()[0] ?? 0;

export const SHAPES: KernelTable = {
  Reshape: reshape,
  ExpandDims: (r, input, { dim }) => {
    const x = input('input');
    const at = axisIn(dim, x.shape.length + 1);
    return r.reshape(x, [...x.shape.slice(0, at), 1, ...x.shape.slice(at)]);
  },
  Transpose: (_, input, { perm }) => {
    const x = input('x');
    if (x.source.kind === 'uniform') return { ...x, shape: perm.map((axis) => x.shape[axis] ?? 1) };
    return transposed(x, perm);
  },
  Slice: (r, input, { begin, size }) => slice(r, input('x'), [begin].flat(), [size].flat()),
  Concat: (r, _, { axis }, all) => concat(r, all, axisIn(first(axis), all[0]?.shape.length ?? 1)),
  Pack: (r, _, { axis }, all) => {
    const rank = (all[0]?.shape.length ?? 0) + 1;
    const at = axisIn(first(axis), rank);
    return concat(
      r,
      all.map((x) => r.reshape(x, [...x.shape.slice(0, at), 1, ...x.shape.slice(at)])),
      at,
    );
  },
  Unpack: (r, input, { axis }) => unpack(r, input('value'), axisIn(first(axis), input('value').shape.length)),
  SplitV: (r, input, { numOrSizeSplits, axis }) =>
    split(r, input('x'), numOrSizeSplits, axisIn(first(axis), input('x').shape.length)),
  PadV2: (r, input, { paddings, constantValue }) => pad(r, input('x'), paddings, constantValue),
  Tile: (r, input, { reps }) => tile(r, input('x'), reps),
  BroadcastTo: (r, input, { shape }) => {
    const x = input('x');
    const full = r.reshape(x, [...Array<number>(shape.length - x.shape.length).fill(1), ...x.shape]);
    return tile(
      r,
      full,
      shape.map((size, i) => size / (full.shape[i] ?? 1)),
    );
  },
  Reverse: (r, input, { dims }) => reverse(r, input('x'), axesOf(dims, input('x').shape.length)),
  GatherV2: (r, input, { axis }) =>
    gather(r, input('x'), input('indices'), axisIn(first(axis), input('x').shape.length)),
  OneHot: (_, input, { depth, onValue, offValue }) => oneHot(input('indices'), depth, onValue, offValue),
};
