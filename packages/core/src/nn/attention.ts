import type { Tensor } from '../tf.js';
import * as tf from '../tf.js';

export interface AttentionShape {
  readonly heads: number;
  /** Whether a position sees only itself and what came before. @defaultValue false */
  readonly causal?: boolean;
}

/** Elements of the largest score tensor that is written at once (64 MiB of float32). */
const MAX_SCORES = 2 ** 24;
/** Scores from which a head is worked off on its own. */
const LARGE_HEAD = 2 ** 16;
/** What a position that must not be seen adds to its score. */
const HIDDEN = -1e9;

// Shapes: B batch · T queries · S keys · D width · N heads · K = D / N

/**
 * Scaled dot-product attention of several heads: `softmax(q k^T / sqrt(K)) v`, without projections.
 * Long inputs are worked off in runs of query rows, forward and backward, so that `[B N, T, S]` is never held whole;
 * the backward pass computes the scores again instead of keeping them.
 * @param query - `[B, T, D]`
 * @param key - `[B, S, D]`
 * @param value - `[B, S, D]`
 * @returns `[B, T, D]`
 * @see Vaswani et al. 2017, arXiv 1706.03762; Rabe & Staats 2021, arXiv 2112.05682
 */
export function attention(
  { heads, causal = false }: AttentionShape,
  query: Tensor,
  key: Tensor,
  value: Tensor,
): Tensor {
  return tf.withGradient(
    [query, key, value],
    (save) => {
      const output = tf.single(
        tf.composite('Attention', { query, key, value }, { heads, causal }, () => [
          attend(heads, causal, query, key, value),
        ]),
      );
      save([query, key, value, output]);
      return output;
    },
    (dy, [query, key, value, output]) => {
      if (!query || !key || !value || !output) throw new Error('the tape lost the inputs of an attention');
      return tf.composite('AttentionGrad', { dy, query, key, value, output }, { heads, causal }, () =>
        attendBackward(heads, causal, dy, query, key, value, output),
      );
    },
  );
}

function attend(heads: number, causal: boolean, query: Tensor, key: Tensor, value: Tensor): Tensor {
  const inputs = [query, key, value].map((x) => split(x, heads));
  return merge(tf.single(headByHead(inputs, (parts) => [attendHeads(causal, parts)])), heads);
}

function attendHeads(causal: boolean, [q, k, v]: readonly Tensor[]): Tensor {
  if (!q || !k || !v) throw new Error('attention takes queries, keys and values');
  const kT = transposed(k);
  const parts = rowRuns(q, k).map(([start, rows]) =>
    tf.tidy(() => tf.matMul(weights(rowsOf(q, start, rows), kT, start, causal), v)),
  );
  return joined(parts, 1);
}

function attendBackward(
  heads: number,
  causal: boolean,
  dy: Tensor,
  query: Tensor,
  key: Tensor,
  value: Tensor,
  output: Tensor,
): Tensor[] {
  // sum over S of p * dp, which softmax's gradient subtracts, equals the sum over K of output * dy.
  const correction = tf.sum(tf.mul(split(dy, heads), split(output, heads)), -1, true); // [BN, T, 1]
  const inputs = [...[query, key, value, dy].map((x) => split(x, heads)), correction];
  const gradients = headByHead(inputs, (parts) => attendHeadsBackward(causal, parts));
  return gradients.map((gradient) => merge(gradient, heads));
}

/** @returns the gradients of `q`, `k` and `v` */
function attendHeadsBackward(causal: boolean, [q, k, v, dOut, correction]: readonly Tensor[]): Tensor[] {
  if (!q || !k || !v || !dOut || !correction) throw new Error('the gradient of attention takes five tensors');
  const [kT, vT] = [transposed(k), transposed(v)];
  const scale = 1 / Math.sqrt(q.shape[2] ?? 1);
  const dQueries: Tensor[] = [];
  let dKey: Tensor | undefined;
  let dValue: Tensor | undefined;
  for (const [start, rows] of rowRuns(q, k)) {
    const run = (x: Tensor): Tensor => rowsOf(x, start, rows);
    const [dq, dk, dv] = tf.tidy((): [Tensor, Tensor, Tensor] => {
      const p = weights(run(q), kT, start, causal); // [BN, rows, S]
      const dp = tf.matMul(run(dOut), vT);
      const ds = tf.mul(tf.mul(p, tf.sub(dp, run(correction))), scale);
      return [tf.matMul(ds, k), tf.matMul(transposed(ds), run(q)), tf.matMul(transposed(p), run(dOut))];
    });
    dQueries.push(dq);
    dKey = accumulated(dKey, dk);
    dValue = accumulated(dValue, dv);
  }
  if (!dKey || !dValue) throw new Error('attention over no rows');
  return [joined(dQueries, 1), dKey, dValue];
}

/**
 * Runs `core` over all heads of all pictures at once, or one after another where each is large enough to keep a machine busy:
 * that holds the scores of one head alone, and a plain product is up to 18 times as fast as a batched one on wasm.
 * @param inputs - `[BN, rows, K]` each; the first two are queries and keys.
 */
function headByHead(inputs: readonly Tensor[], core: (inputs: readonly Tensor[]) => Tensor[]): Tensor[] {
  const [[batch = 0, queries = 0] = [], [, keys = 0] = []] = inputs.map((x) => x.shape);
  if (batch === 1 || queries * keys < LARGE_HEAD) return core(inputs);
  const heads = Array.from({ length: batch }, (_, i) =>
    tf.tidy(() => core(inputs.map((x) => tf.slice(x, [i, 0, 0], [1, ...x.shape.slice(1)])))),
  );
  return (heads[0] ?? []).map((_, i) =>
    joined(
      heads.flatMap((outputs) => outputs.slice(i, i + 1)),
      0,
    ),
  );
}

/** Softmax of the scores of some query rows. Our own: the one of TensorFlow.js' WebGPU backend errs beyond 65,535 rows. */
function weights(q: Tensor, kT: Tensor, start: number, causal: boolean): Tensor {
  const scale = 1 / Math.sqrt(q.shape[2] ?? 1);
  const plain = tf.matMul(tf.mul(q, scale), kT); // [BN, rows, S]
  const scores = causal ? tf.add(plain, causalMask(start, q.shape[1] ?? 0, kT.shape[2] ?? 0)) : plain;
  const exponentials = tf.exp(tf.sub(scores, tf.max(scores, -1, true)));
  return tf.div(exponentials, tf.sum(exponentials, -1, true));
}

function causalMask(start: number, rows: number, keys: number): Tensor {
  const mask = new Float32Array(rows * keys);
  for (let row = 0; row < rows; row++) mask.fill(HIDDEN, row * keys + start + row + 1, (row + 1) * keys);
  return tf.tensor(mask, [1, rows, keys]);
}

/** Cuts T into runs whose scores stay below the limit. */
function rowRuns(q: Tensor, k: Tensor): [start: number, rows: number][] {
  const [batch = 0, total = 0] = q.shape;
  const rows = Math.min(total, Math.max(1, Math.floor(MAX_SCORES / (batch * (k.shape[1] ?? 1)))));
  return Array.from({ length: Math.ceil(total / rows) }, (_, i) => [i * rows, Math.min(rows, total - i * rows)]);
}

function rowsOf(x: Tensor, start: number, rows: number): Tensor {
  const [batch = 0, total = 0, width = 0] = x.shape;
  return rows === total ? x : tf.slice(x, [0, start, 0], [batch, rows, width]);
}

function joined(parts: Tensor[], axis: number): Tensor {
  return parts.length === 1 ? tf.single(parts) : tf.concat(parts, axis);
}

function accumulated(sum: Tensor | undefined, part: Tensor): Tensor {
  if (sum === undefined) return part;
  const next = tf.add(sum, part);
  tf.dispose([sum, part]);
  return next;
}

function transposed(x: Tensor): Tensor {
  return tf.transpose(x, [0, 2, 1]);
}

/** `[B, T, D]` -> `[B N, T, K]` */
function split(x: Tensor, heads: number): Tensor {
  const [batch = 0, rows = 0, width = 0] = x.shape;
  if (heads === 1) return x;
  return tf.reshape(tf.transpose(tf.reshape(x, [batch, rows, heads, width / heads]), [0, 2, 1, 3]), [
    batch * heads,
    rows,
    width / heads,
  ]);
}

/** `[B N, T, K]` -> `[B, T, D]` */
function merge(x: Tensor, heads: number): Tensor {
  const [both = 0, rows = 0, width = 0] = x.shape;
  if (heads === 1) return x;
  return tf.reshape(tf.transpose(tf.reshape(x, [both / heads, heads, rows, width]), [0, 2, 1, 3]), [
    both / heads,
    rows,
    heads * width,
  ]);
}
