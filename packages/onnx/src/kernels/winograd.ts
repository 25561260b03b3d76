import type { TensorRef } from '@textual-inversion/core';
import { MICROSOFT, type Value } from '../graph/graph.js';
import type { Recorder } from '../recorder.js';
import { rowsOf, type View } from '../view.js';

// Winograd's minimal filtering F(4 x 4, 3 x 3): a tile of 4 x 4 pixels from a window of 6 x 6 takes 36 products per pair of channels instead of
// 144. Filter, windows and tiles are each multiplied with a small matrix; between them stands one product of matrices per place
// in the window. See Lavin & Gray 2015, arXiv 1509.09308, section 4.3, whose matrices these are.

const TILE = 4;
const WINDOW = 6;
const OF_WINDOW = [
  [4, 0, -5, 0, 1, 0],
  [0, -4, -4, 1, 1, 0],
  [0, 4, -4, -1, 1, 0],
  [0, -2, -1, 2, 1, 0],
  [0, 2, -1, -2, 1, 0],
  [0, 4, 0, -5, 0, 1],
];
const OF_FILTER = [
  [1 / 4, 0, 0],
  [-1 / 6, -1 / 6, -1 / 6],
  [-1 / 6, 1 / 6, -1 / 6],
  [1 / 24, 1 / 12, 1 / 6],
  [1 / 24, -1 / 12, 1 / 6],
  [0, 0, 1],
];
const OF_TILE = [
  [1, 1, 1, 1, 1, 0],
  [0, 1, -1, 2, -2, 0],
  [0, 1, 1, 4, 4, 0],
  [0, 1, -1, 8, -8, 1],
];

/** Pixels from which it is worth it: below, transforming the filter costs more than is saved. */
const LEAST_PIXELS = 256;
const LEAST_CHANNELS = 64;
/** Bytes of one transformed piece, of filter or picture: what stays in a cache. */
const PIECE_BYTES = 2 ** 24;

// Shapes: B batch · C channels in · O channels out · H, W pixels · P = 36 places in a window · T tiles

/** A matrix for rows and columns at once. */
function twice(matrix: readonly (readonly number[])[]): number[][] {
  return matrix.flatMap((a) => matrix.map((b) => a.flatMap((x) => b.map((y) => x * y))));
}

function constant(r: Recorder, matrix: readonly (readonly number[])[]): Value {
  return r.graph.floats(matrix.flat(), [matrix.length, matrix[0]?.length ?? 0]);
}

/**
 * A 3 x 3 convolution with stride 1 and one zero around, or the gradient of its input; `undefined` where it would not be faster. The
 * filter is transformed in every run, piece by piece: transformed it is four times as large.
 * @param x - `[B, C, H, W]`
 * @param filter - `[3, 3, C, O]`; for the gradient `[3, 3, O, C]`
 * @returns `[B, O, H, W]`
 */
export function winograd(r: Recorder, x: Value, filter: View, gradient: boolean): Value | undefined {
  const [batch = 1, channels = 1, height = 1, width = 1] = x.shape;
  const {
    source,
    order,
    shape: [kh, kw, ...both],
  } = filter;
  const outputs = both[gradient ? 0 : 1] ?? 1;
  const inFile = source.kind === 'weight' && order.join() === '2,3,1,0';
  const whole = height % TILE === 0 && width % TILE === 0;
  const large = height * width >= LEAST_PIXELS && Math.min(...both) >= LEAST_CHANNELS;
  if (!r.target.fused || r.target.roomy || !inFile || kh !== 3 || kw !== 3 || !whole || !large) return undefined;

  const { ref } = source;
  // Handed over with every run, so that the session does not transform the filters once and keep them. Backwards the filter is turned around.
  const transform = twice(OF_FILTER).map((row) => (gradient ? row.toReversed() : row));
  const matrix = r.graph.givenNumbers('float32', transform.flat(), [WINDOW ** 2, 9]);
  const perPiece = pieceLength(outputs, WINDOW ** 2 * channels * 4);
  const firsts = Array.from({ length: outputs / perPiece }, (_, i) => i * perPiece);
  const pieces = firsts.map((first): Piece => {
    if (gradient) return { filter: columnsOf(r, ref, [channels, outputs], matrix, first, perPiece), turned: true };
    const flat = r.graph.weight(rowsOf(ref, first, perPiece), [perPiece * channels, 9]);
    const shape = [WINDOW ** 2, perPiece * channels];
    const transformed = r.graph.node('Gemm', [matrix, flat], { shape }, { transB: { int: 1 } });
    return { filter: r.inShape(transformed, [1, WINDOW ** 2, perPiece, channels]), turned: false };
  });
  const band = pieceLength(height / TILE, (WINDOW ** 2 * channels * width * 4) / TILE);
  const firstRows = Array.from({ length: height / TILE / band }, (_, i) => i * band);
  const results = firstRows.map((firstRow) => {
    const tiles = [band, width / TILE] as const;
    const windows = windowsOf(r, x, firstRow, tiles);
    const shape = [batch, WINDOW ** 2, perPiece, band * tiles[1]];
    const parts = pieces.map(({ filter: piece, turned }) => {
      const attributes = { transBatchB: { int: 1 }, ...(turned ? { transBatchA: { int: 1 } } : {}) };
      return picturesOf(r, r.graph.node('FusedMatMul', [piece, windows], { shape }, attributes, MICROSOFT), tiles);
    });
    return joined(r, parts, 1);
  });
  return joined(r, results, 2);
}

/** Some outputs of a transformed filter: `[1, P, O, C]`, or turned `[O, 1, P, C]`, of which a product takes the first axis for its rows. */
interface Piece {
  readonly filter: Value;
  readonly turned: boolean;
}

/** Some columns of a filter `[C, O, 3, 3]`, transformed, as `[length, 1, P, C]`. Cut in every run: the session would do it once and keep a copy. */
function columnsOf(
  r: Recorder,
  ref: TensorRef,
  [channels, outputs]: readonly [number, number],
  matrix: Value,
  first: number,
  length: number,
): Value {
  const whole = r.graph.weight(ref, [channels, outputs / length, length * 9]);
  const turn = r.graph.givenNumbers('int64', [first / length]);
  const columns = r.graph.node('Gather', [whole, turn], { shape: [channels, 1, length * 9] }, { axis: { int: 1 } });
  // One product for each column, where the columns lie: turning them around first took as long as the products.
  const operands = [r.inShape(matrix, [1, WINDOW ** 2, 9]), r.inShape(columns, [channels, length, 9])];
  const attributes = { transB: { int: 1 }, transBatchB: { int: 1 } };
  const shape = [length, WINDOW ** 2, channels];
  const transformed = r.graph.node('FusedMatMul', operands, { shape }, attributes, MICROSOFT);
  return r.inShape(transformed, [length, 1, WINDOW ** 2, channels]);
}

/** The largest divisor of `total` of which each takes `bytes` and all together at most a piece. */
function pieceLength(total: number, bytes: number): number {
  const most = Math.max(1, Math.floor(PIECE_BYTES / bytes));
  let pieces = Math.ceil(total / most);
  while (total % pieces !== 0) pieces++;
  return total / pieces;
}

function cut(r: Recorder, x: Value, axis: number, start: number, length: number): Value {
  if (x.shape[axis] === length) return x;
  const inputs = [x, ...[start, start + length, axis].map((number) => r.graph.indices([number]))];
  return r.graph.node('Slice', inputs, { shape: x.shape.map((size, i) => (i === axis ? length : size)) });
}

function joined(r: Recorder, parts: readonly Value[], axis: number): Value {
  const [first] = parts;
  if (!first) throw new Error('nothing to put side by side');
  if (parts.length === 1) return first;
  const total = parts.reduce((sum, { shape }) => sum + (shape[axis] ?? 0), 0);
  const shape = first.shape.map((size, i) => (i === axis ? total : size));
  return r.graph.node('Concat', parts, { shape }, { axis: { int: axis } });
}

/**
 * The transformed windows of some rows of tiles: a convolution of each channel alone, with a filter for each place in the window.
 * @returns `[C, B, P, T]`, of which a product takes the first axis for its rows.
 */
function windowsOf(r: Recorder, x: Value, firstRow: number, [h, w]: readonly [number, number]): Value {
  const [batch = 1, channels = 1, height = 1, width = 1] = x.shape;
  const [from, to] = [firstRow * TILE - 1, (firstRow + h) * TILE + 1];
  const [above, below] = [Math.max(0, -from), Math.max(0, to - height)];
  const picture = cut(r, x, 2, from + above, to - below - from - above);
  const rows = picture.shape[2] ?? 1;
  const byChannel =
    batch === 1
      ? picture
      : r.graph.node(
          'Transpose',
          [picture],
          { shape: [channels, batch, rows, width] },
          { perm: { ints: [1, 0, 2, 3] } },
        );
  const filters = r.graph.floats(twice(OF_WINDOW).flat(), [WINDOW ** 2, 1, WINDOW, WINDOW]);
  const windows = r.graph.node(
    'Conv',
    [r.inShape(byChannel, [channels * batch, 1, rows, width]), filters],
    { shape: [channels * batch, WINDOW ** 2, h, w] },
    {
      kernel_shape: { ints: [WINDOW, WINDOW] },
      strides: { ints: [TILE, TILE] },
      pads: { ints: [above, 1, below, 1] },
    },
  );
  return r.inShape(windows, [channels, batch, WINDOW ** 2, h * w]);
}

/** Products `[B, P, O, T]` -> `[B, O, 4 h, 4 w]`. */
function picturesOf(r: Recorder, products: Value, [h, w]: readonly [number, number]): Value {
  const [batch = 1, places = 1, outputs = 1, tiles = 1] = products.shape;
  const flat = r.inShape(products, [batch, places, outputs * tiles]);
  const shape = [batch, TILE ** 2, outputs * tiles];
  const pixels = r.graph.node('MatMul', [constant(r, twice(OF_TILE)), flat], { shape });
  const spread = r.inShape(pixels, [batch, TILE ** 2 * outputs, h, w]);
  return r.graph.node(
    'DepthToSpace',
    [spread],
    { shape: [batch, outputs, TILE * h, TILE * w] },
    { blocksize: { int: TILE } },
  );
}
