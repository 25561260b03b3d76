import { Graph, MICROSOFT, type Value } from '../graph/graph.js';
import type { Recorder } from '../recorder.js';
import { transposed, type View, viewOf } from '../view.js';
import { add, mul, number, sub } from './elementwise.js';
import type { KernelTable } from './kernel.js';
import { asStored, matMul, swapped } from './products.js';
import { reduced, softmax } from './reduce.js';
import { concat, slice } from './shapes.js';

// Shapes: B batch · T queries · S keys · D width · N heads · K = D / N

/** Elements of the largest score tensor that is written at once (16 MiB of float32). */
const MAX_SCORES = 2 ** 22;
/** The same in a loop over one head's runs: an eighth of that, which stays in a processor's cache. */
const MAX_LOOP_SCORES = 2 ** 19;
/** What a position that must not be seen adds to its score. */
const HIDDEN = -1e9;
/** A probability that changes no float32 sum of gradients: far below their precision, far above 1e-38. */
const TRACE_OF_PROBABILITY = 1e-20;

/** `[B, T, D]` -> `[B, N, T, K]` */
function split(r: Recorder, x: View, heads: number): View {
  const [batch = 1, rows = 1, width = 1] = x.shape;
  return transposed(r.reshape(x, [batch, rows, heads, width / heads]), [0, 2, 1, 3]);
}

/** `[B, N, T, K]` -> `[B, T, D]` */
function merge(r: Recorder, x: View): View {
  const [batch = 1, heads = 1, rows = 1, width = 1] = x.shape;
  return r.reshape(transposed(x, [0, 2, 1, 3]), [batch, rows, heads * width]);
}

function rowsOf(r: Recorder, x: View, start: number, rows: number): View {
  return slice(r, x, [0, 0, start, 0], [-1, -1, rows, -1]);
}

/** Cuts the queries into runs whose scores stay small. */
function rowRuns(q: View, keys: number): [start: number, rows: number][] {
  const [batch = 1, heads = 1, total = 1] = q.shape;
  const most = Math.min(total, Math.max(1, Math.floor(MAX_SCORES / (batch * heads * keys))));
  // Runs of one length where that is possible.
  const count = Math.ceil(total / most);
  const rows = Math.ceil(total / count);
  return Array.from({ length: Math.ceil(total / rows) }, (_, i) => [i * rows, Math.min(rows, total - i * rows)]);
}

/** What scores are divided by goes into the product where that takes a factor (the second result), and otherwise into the queries. */
function scaledQueries(r: Recorder, q: View): [queries: View, factor: number] {
  const scale = 1 / Math.sqrt(q.shape[3] ?? 1);
  return r.target.fused ? [q, scale] : [mul(r, q, number(scale)), 1];
}

/** `factor * a @ b` */
function times(r: Recorder, a: View, b: View, factor: number): View {
  return factor === 1 ? matMul(r, a, b) : asStored(r, a, b, factor);
}

/** Softmax of the scores of some query rows. */
function weights(r: Recorder, q: View, kT: View, factor: number, causalFrom: number | undefined): View {
  const scores = times(r, q, kT, factor);
  const [rows = 1, keys = 1] = scores.shape.slice(2);
  const p = softmax(r, causalFrom === undefined ? scores : add(r, scores, causalMask(r, causalFrom, rows, keys)));
  return r.target.fused ? withoutTraces(r, p) : p;
}

/**
 * Probabilities too small to count become zero: products of numbers below float32's normal range take a processor a hundred times
 * as long, and a head that is sure of itself makes thousands of them.
 */
function withoutTraces(r: Recorder, p: View): View {
  return r.elementwise('ThresholdedRelu', [p], { shape: p.shape }, { alpha: { float: TRACE_OF_PROBABILITY } });
}

function causalMask(r: Recorder, start: number, rows: number, keys: number): View {
  const mask = new Float32Array(rows * keys);
  for (let row = 0; row < rows; row++) mask.fill(HIDDEN, row * keys + start + row + 1, (row + 1) * keys);
  return viewOf(r.graph.constant(mask, [1, 1, rows, keys], 'float32'));
}

function attend(r: Recorder, query: View, key: View, value: View, heads: number, causal: boolean): View {
  if (r.target.fused && !causal) {
    const inputs = [query, key, value].map((x) => r.value(x));
    const attributes = { num_heads: { int: heads } };
    return viewOf(r.graph.node('MultiHeadAttention', inputs, { shape: query.shape }, attributes, MICROSOFT));
  }
  const [q, k, v] = [split(r, query, heads), split(r, key, heads), split(r, value, heads)];
  const [queries, factor] = scaledQueries(r, q);
  const parts = rowRuns(q, k.shape[2] ?? 1).map(([start, rows]) =>
    matMul(r, weights(r, rowsOf(r, queries, start, rows), swapped(k), factor, causal ? start : undefined), v),
  );
  return merge(r, concat(r, parts, 2));
}

/** Rows of one run of the loop: a divisor of T; `undefined` where everything at once is small, or no divisor serves. */
function loopRows(q: View, keys: number): number | undefined {
  const [batch = 1, heads = 1, total = 1] = q.shape;
  if (batch * heads * total * keys <= MAX_SCORES) return undefined;
  for (let runs = Math.ceil((total * keys) / MAX_LOOP_SCORES); runs <= total / 16; runs++) {
    if (total % runs === 0) return total / runs;
  }
  return undefined;
}

/** Heads that a loop takes at once, each of them a product of its own: two threads then each keep to what they have in their own caches. */
const HEADS_AT_ONCE = 2;

/**
 * The gradient run by run and a few heads at a time, in loops of the graph itself: only one run's scores are alive, and the order of
 * the nodes cannot be changed to keep more.
 */
function loopOverHeads(
  r: Recorder,
  { q, k, v, dOut, correction }: Record<'q' | 'k' | 'v' | 'dOut' | 'correction', View>,
  rows: number,
): Gradients {
  const [batch = 1, heads = 1, total = 1, width = 1] = q.shape;
  const keys = k.shape[2] ?? 1;
  const once = heads % HEADS_AT_ONCE === 0 ? HEADS_AT_ONCE : 1;
  const [turns, runs] = [(batch * heads) / once, total / rows];
  // Subtracting the correction costs one column of the product instead of a pass over the scores.
  const ones = r.value({ ...number(1), shape: [batch, heads, keys, 1], order: [0, 1, 2, 3] });
  const less = concat(r, [dOut, mul(r, correction, number(-1))], 3);
  const more = concat(r, [v, viewOf(ones)], 3);
  /** `[B, N, T, K]` -> `[turns, runs, once, rows, K]` */
  const cut = (x: View): View => {
    const columns = x.shape[3] ?? 1;
    const apart = transposed(r.reshape(x, [batch, heads / once, once, runs, rows, columns]), [0, 1, 3, 2, 4, 5]);
    return r.reshape(apart, [turns, runs, once, rows, columns]);
  };
  const inputs = [
    r.value(cut(q)),
    r.value(cut(less)),
    r.value(swapped(cut(q))),
    r.value(swapped(cut(dOut))),
    r.value(r.reshape(k, [turns, once, keys, width])),
    r.value(r.reshape(more, [turns, once, keys, width + 1])),
  ];
  const perTurn = new Graph(r.graph);
  const parameters = inputs.map(({ shape }) => perTurn.parameter(shape.slice(1)));
  const [key, value] = parameters.slice(-2);
  if (!key || !value) throw new Error('six inputs make six parameters');
  const state = { shape: [once, width, keys] };
  const zeros = perTurn.constant(new Float32Array(once * keys * width), state.shape, 'float32');
  const [dk, dv, dq] = perTurn.multi(
    'Scan',
    [zeros, zeros, ...parameters.slice(0, -2)],
    [state, state, { shape: [runs, once, rows, width] }],
    { num_scan_inputs: { int: 4 }, body: { graph: oneRun(perTurn, key, value, rows) } },
  );
  for (const result of [dq, dk, dv]) if (result) perTurn.output(result);
  const [allQueries, allKeys, allValues] = r.graph.multi(
    'Scan',
    inputs,
    [{ shape: [turns, runs, once, rows, width] }, ...[0, 1].map(() => ({ shape: [turns, ...state.shape] }))],
    { num_scan_inputs: { int: inputs.length }, body: { graph: perTurn } },
  );
  if (!allQueries || !allKeys || !allValues) throw new Error('a loop has three results');
  const ofKeys = (x: Value): View => swapped(r.reshape(viewOf(x), [batch, heads, width, keys]));
  const apart = r.reshape(viewOf(allQueries), [batch, heads / once, runs, once, rows, width]);
  const dQueries = r.reshape(transposed(apart, [0, 1, 3, 2, 4, 5]), [batch, heads, total, width]);
  return { dq: dQueries, dk: ofKeys(allKeys), dv: ofKeys(allValues) };
}

/**
 * The body of the inner loop: adds one run of rows to the gradients of keys and values. Those are kept the other way round, because
 * the scores, which are large, are then multiplied as they lie.
 */
function oneRun(parent: Graph, key: Value, value: Value, rows: number): Graph {
  const [heads = 1, keys = 1, width = 1] = key.shape;
  const g = new Graph(parent);
  const ofKeys = { shape: [heads, width, keys] };
  const [dk, dv] = [g.parameter(ofKeys.shape), g.parameter(ofKeys.shape)];
  const [q, less] = [g.parameter([heads, rows, width]), g.parameter([heads, rows, width + 1])];
  const [qT, dOutT] = [g.parameter([heads, width, rows]), g.parameter([heads, width, rows])];
  const scores = { shape: [heads, rows, keys] };
  const withEach = (a: Value, b: Value): Value =>
    g.node('FusedMatMul', [a, b], scores, { transB: { int: 1 } }, MICROSOFT);
  const p = g.node('Softmax', [withEach(q, key)], scores, { axis: { int: -1 } });
  const ds = g.node('Mul', [p, withEach(less, value)], scores);
  g.output(g.node('Add', [dk, g.node('MatMul', [qT, ds], ofKeys)], ofKeys));
  g.output(g.node('Add', [dv, g.node('MatMul', [dOutT, p], ofKeys)], ofKeys));
  g.output(g.node('MatMul', [ds, key], { shape: q.shape }));
  return g;
}

interface Gradients {
  readonly dq: View;
  readonly dk: View;
  readonly dv: View;
}

function attendGrad(
  r: Recorder,
  { dy, query, key, value, output }: Record<'dy' | 'query' | 'key' | 'value' | 'output', View>,
  heads: number,
  causal: boolean,
): View[] {
  const headsOf = (x: View): View => split(r, x, heads);
  // The sum over S of p * dp, which softmax's gradient subtracts, equals the sum over K of output * dy.
  const correction = reduced(r, 'ReduceSum', headsOf(mul(r, dy, output)), [3]); // [B, N, T, 1]
  const [q, k, v, dOut] = [headsOf(query), headsOf(key), headsOf(value), headsOf(dy)];
  const scale = 1 / Math.sqrt(q.shape[3] ?? 1);
  const rows = r.target.loops && !causal ? loopRows(q, k.shape[2] ?? 1) : undefined;
  if (rows !== undefined) {
    const { dq, dk, dv } = loopOverHeads(r, { q: mul(r, q, number(scale)), k, v, dOut, correction }, rows);
    return [mul(r, dq, number(scale)), dk, dv].map((x) => merge(r, x));
  }
  const [queries, factor] = scaledQueries(r, q);
  const runs = rowRuns(q, k.shape[2] ?? 1).map(([start, rows]): Gradients => {
    const run = (x: View): View => rowsOf(r, x, start, rows);
    const p = weights(r, run(queries), swapped(k), factor, causal ? start : undefined);
    const dp = matMul(r, run(dOut), swapped(v));
    const ds = mul(r, p, sub(r, dp, run(correction)));
    return {
      dq: times(r, ds, k, factor),
      dk: times(r, swapped(ds), run(queries), factor),
      dv: matMul(r, swapped(p), run(dOut)),
    };
  });
  const sum = (parts: readonly View[]): View => parts.reduce((total, part) => add(r, total, part));
  const dQuery = mul(
    r,
    concat(
      r,
      runs.map(({ dq }) => dq),
      2,
    ),
    number(scale / factor),
  );
  return [dQuery, sum(runs.map(({ dk }) => dk)), sum(runs.map(({ dv }) => dv))].map((x) => merge(r, x));
}

export const ATTENTION: KernelTable = {
  Attention: (r, input, { heads, causal }) => attend(r, input('query'), input('key'), input('value'), heads, causal),
  AttentionGrad: (r, input, { heads, causal }) =>
    attendGrad(
      r,
      {
        dy: input('dy'),
        query: input('query'),
        key: input('key'),
        value: input('value'),
        output: input('output'),
      },
      heads,
      causal,
    ),
};
