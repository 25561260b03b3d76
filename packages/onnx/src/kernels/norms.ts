import { sizeOf, type Value } from '../graph/graph.js';
import type { Recorder } from '../recorder.js';
import { uniform, type View, viewOf } from '../view.js';
import { add, mul, number, sub, unary } from './elementwise.js';
import type { KernelTable } from './kernel.js';
import { reduced } from './reduce.js';

// Shapes: B batch · C channels · G groups · P pixels · D width

/** Means over a group's channels and pixels: of runs of pixels first, so that float32 sums of a million terms stay exact. */
function groupMeans(r: Recorder, perChannel: View, groups: number): View {
  const [batch = 1, channels = 1] = perChannel.shape;
  return reduced(r, 'ReduceMean', r.reshape(perChannel, [batch, groups, channels / groups]), [2]); // [B, G, 1]
}

/** `[B, C, ...]` -> `[B, C]` */
function channelMeans(r: Recorder, x: Value): View {
  const [batch = 1, channels = 1, ...picture] = x.shape;
  const rows = picture[0] ?? 1;
  const columns = picture.slice(1).reduce((product, size) => product * size, 1);
  const perRow = reduced(r, 'ReduceMean', r.reshape(viewOf(x), [batch, channels * rows, columns]), [2]);
  const perChannel = rows === 1 ? perRow : reduced(r, 'ReduceMean', r.reshape(perRow, [batch, channels, rows]), [2]);
  return r.reshape(perChannel, [batch, channels]);
}

/** `[B, G, 1]` -> `[B, C, 1, ...]`, to be combined with something stored as `x`. */
function perChannel(r: Recorder, perGroup: View, x: Value): View {
  const [batch = 1, channels = 1, ...picture] = x.shape;
  const groups = perGroup.shape[1] ?? 1;
  const each = channels / groups;
  const value = r.graph.node('Expand', [r.value(perGroup), r.graph.indices([batch, groups, each])], {
    shape: [batch, groups, each],
  });
  return r.reshape(viewOf(value), [batch, channels, ...picture.map(() => 1)]);
}

function vector(r: Recorder, view: View, x: Value): View {
  return r.reshape(view, [1, x.shape[1] ?? 1, ...x.shape.slice(2).map(() => 1)]);
}

const reciprocalRoot = (r: Recorder, x: View): View =>
  unary(r, { op: 'Reciprocal', of: (v) => 1 / v }, unary(r, { op: 'Sqrt', of: Math.sqrt }, x));

/**
 * Numbers of the largest group that a single kernel normalises. A GPU's kernel adds up that many exactly enough; on a CPU, starting dozens
 * of kernels takes longer than what they do to fewer.
 */
const MAX_GROUP = { gpu: 2 ** 17, cpu: 2 ** 13 };

/** Whether a group norm is a layer norm over each group: dozens of kernels fewer. */
const inOne = (r: Recorder, { shape }: Value, groups: number): boolean =>
  sizeOf(shape) / ((shape[0] ?? 1) * groups) <= MAX_GROUP[r.target.launches ? 'gpu' : 'cpu'];

/**
 * The groups of `x`, each with mean 0 and variance 1, and their means and reciprocal deviations, by one kernel.
 * @param again - For the backward pass of a GPU, in another shape: ONNX Runtime merges equal nodes, and would keep the first one's
 * result. What a CPU normalises at once is small and may be kept.
 */
function normalGroups(r: Recorder, x: Value, groups: number, epsilon: number, again: boolean): View[] {
  const [batch = 1] = x.shape;
  const size = sizeOf(x.shape) / (batch * groups);
  const flat = r.reshape(viewOf(x), again ? [batch * groups, size] : [batch, groups, size]);
  return layerNorm(r, flat, uniform(1, [size]), uniform(0, [size]), epsilon);
}

/** `x * scale + offset` of each channel, in one pass: a batch norm of numbers whose mean is 0 and variance 1. */
function perChannelAffine(r: Recorder, x: Value, scale: View, offset: View): Value {
  const channels = [x.shape[1] ?? 1];
  const inputs = [scale, offset, uniform(0, channels), uniform(1, channels)].map((view) => r.value(view));
  return r.graph.node('BatchNormalization', [x, ...inputs], { shape: x.shape }, { epsilon: { float: 0 } });
}

function groupNormInOne(r: Recorder, x: Value, scale: View, offset: View, groups: number, epsilon: number): View[] {
  const affine = (normal: View | undefined): View => {
    const picture = r.reshape(normal ?? viewOf(x), x.shape);
    if (r.target.fused) return r.fromChannelsFirst(perChannelAffine(r, r.value(picture), scale, offset));
    return r.fromChannelsFirst(r.value(add(r, mul(r, picture, vector(r, scale, x)), vector(r, offset, x))));
  };
  const [normal, ...statistics] = normalGroups(r, x, groups, epsilon, false);
  const y = affine(normal);
  r.remember(y, () => affine(normalGroups(r, x, groups, epsilon, r.target.launches)[0]));
  return [y, ...statistics];
}

function groupNorm(r: Recorder, input: View, scale: View, offset: View, groups: number, epsilon: number): View[] {
  const x = r.channelsFirst(input);
  if (inOne(r, x, groups)) return groupNormInOne(r, x, scale, offset, groups, epsilon);
  const mean = groupMeans(r, channelMeans(r, x), groups);
  const centred = sub(r, viewOf(x), perChannel(r, mean, x));
  const variance = groupMeans(r, channelMeans(r, r.value(mul(r, centred, centred))), groups);
  const rstd = reciprocalRoot(r, add(r, variance, number(epsilon)));
  // One factor and one offset per channel: two passes over the picture, and the backward pass needs `x` alone.
  const factor = mul(r, perChannel(r, rstd, x), vector(r, scale, x));
  const shift = sub(r, vector(r, offset, x), mul(r, perChannel(r, mean, x), factor));
  const y = r.fromChannelsFirst(r.value(add(r, mul(r, viewOf(x), factor), shift)));
  r.remember(y, () => r.fromChannelsFirst(r.value(add(r, shift, mul(r, factor, viewOf(x))))));
  return [y, mean, rstd];
}

// With centred = x - mean: dx = dy * a - centred * b - c = dy * a - x * b + (mean * b - c), where a, b and c are one number per channel.
function groupNormGrad(
  r: Recorder,
  { dy, x, scale, mean, rstd }: Record<'dy' | 'x' | 'scale' | 'mean' | 'rstd', View>,
  groups: number,
  epsilon: number,
): View {
  const [gradient, picture] = [r.channelsFirst(dy), r.channelsFirst(x)];
  if (inOne(r, picture, groups)) {
    const [normal, , deviation] = normalGroups(r, picture, groups, epsilon, r.target.launches);
    if (!normal || !deviation) throw new Error('a norm has three results');
    const g = r.reshape(mul(r, viewOf(gradient), vector(r, scale, picture)), normal.shape);
    return r.fromChannelsFirst(r.value(r.reshape(normGrad(r, g, normal, deviation), picture.shape)));
  }
  const [batch = 1, channels = 1] = picture.shape;
  const weighted = (means: View) => mul(r, means, r.reshape(scale, [1, channels]));
  const flat = (view: View) => r.reshape(view, [batch, channels]);
  const sums = channelMeans(r, gradient);
  const products = channelMeans(r, r.value(mul(r, viewOf(gradient), viewOf(picture))));
  const along = sub(r, products, mul(r, sums, flat(perChannel(r, mean, picture)))); // means of dy * centred
  const meanG = groupMeans(r, weighted(sums), groups);
  const meanGN = mul(r, groupMeans(r, weighted(along), groups), rstd);
  const a = mul(r, perChannel(r, rstd, picture), vector(r, scale, picture));
  const b = mul(r, mul(r, rstd, rstd), meanGN);
  const c = sub(r, mul(r, mean, b), mul(r, rstd, meanG));
  const slopes = sub(r, mul(r, viewOf(gradient), a), mul(r, viewOf(picture), perChannel(r, b, picture)));
  return r.fromChannelsFirst(r.value(add(r, slopes, perChannel(r, c, picture))));
}

function layerNorm(r: Recorder, x: View, scale: View, offset: View, epsilon: number): View[] {
  const { shape } = x;
  const rows = [...shape.slice(0, -1), 1];
  const outputs = r.graph.multi(
    'LayerNormalization',
    [r.value(x), r.value(scale), r.value(offset)],
    [{ shape }, { shape: rows }, { shape: rows }],
    { axis: { int: -1 }, epsilon: { float: epsilon } },
  );
  return outputs.map((value) => viewOf(value));
}

// With g = dy * scale and n = (x - mean) * rstd:  dx = rstd * (g - mean(g) - n * mean(g * n))
function normGrad(r: Recorder, g: View, n: View, rstd: View): View {
  const last = [g.shape.length - 1];
  const along = mul(r, n, reduced(r, 'ReduceMean', mul(r, g, n), last));
  return mul(r, rstd, sub(r, sub(r, g, reduced(r, 'ReduceMean', g, last)), along));
}

export const NORMS: KernelTable = {
  GroupNorm: (r, input, { groups, epsilon }) =>
    groupNorm(r, input('x'), input('scale'), input('offset'), groups, epsilon),
  GroupNormGrad: (r, input, { groups, epsilon }) =>
    groupNormGrad(
      r,
      { dy: input('dy'), x: input('x'), scale: input('scale'), mean: input('mean'), rstd: input('rstd') },
      groups,
      epsilon,
    ),
  LayerNorm: (r, input, { epsilon }) => layerNorm(r, input('x'), input('scale'), input('offset'), epsilon),
  LayerNormGrad: (r, input) => {
    const [x, mean, rstd] = [input('x'), input('mean'), input('rstd')];
    return normGrad(r, mul(r, input('dy'), input('scale')), mul(r, sub(r, x, mean), rstd), rstd);
  },
};
