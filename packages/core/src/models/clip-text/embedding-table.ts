import { TextualInversionError } from '../../errors.js';
import type { TensorRef } from '../../platform.js';
import { toFloat32 } from '../../weights/half.js';

/** Rows read at once when the whole table is walked. */
const ROWS_PER_READ = 2048;

/**
 * The vocabulary of a text encoder, left in its file: a prompt needs 77 rows of 49,408. It is never a tensor, so that nothing
 * can compute a gradient of its size.
 */
export class EmbeddingTable {
  readonly vocabSize: number;
  readonly width: number;
  private readonly ref: TensorRef;
  private readonly rowBytes: number;
  private readonly cache = new Map<number, Float32Array>();

  /** @throws WEIGHT_SHAPE when the tensor is not `[vocabSize, width]` */
  constructor(ref: TensorRef, { vocabSize, width }: { vocabSize: number; width: number }) {
    if (ref.shape.length !== 2 || ref.shape[0] !== vocabSize || ref.shape[1] !== width) {
      throw new TextualInversionError('WEIGHT_SHAPE', {
        where: ref.name,
        expected: `[${vocabSize}, ${width}]`,
        found: `[${ref.shape.join(', ')}]`,
      });
    }
    this.ref = ref;
    this.vocabSize = vocabSize;
    this.width = width;
    this.rowBytes = ref.length / vocabSize;
  }

  /** Looks rows up. @returns `[ids.length, width]`, row-major. @throws WEIGHT_NOT_FINITE */
  async rows(ids: ArrayLike<number>): Promise<Float32Array> {
    const wanted = Array.from(ids);
    const missing = [...new Set(wanted)].filter((id) => !this.cache.has(id));
    await Promise.all(missing.map(async (id) => this.cache.set(id, await this.read(id, 1))));
    const rows = new Float32Array(wanted.length * this.width);
    wanted.forEach((id, i) => rows.set(this.cache.get(id) ?? [], i * this.width));
    return rows;
  }

  /** Walks the whole table in runs of rows. @param visit - Gets the id of the first row, and the rows. */
  async scan(visit: (firstId: number, rows: Float32Array) => void): Promise<void> {
    for (let id = 0; id < this.vocabSize; id += ROWS_PER_READ)
      visit(id, await this.read(id, Math.min(ROWS_PER_READ, this.vocabSize - id)));
  }

  /** Mean and standard deviation of each of the `width` numbers over the vocabulary. */
  async statistics(): Promise<{ mean: Float64Array; deviation: Float64Array }> {
    const sum = new Float64Array(this.width);
    const squares = new Float64Array(this.width);
    await this.scan((_, rows) =>
      rows.forEach((value, i) => {
        const k = i % this.width;
        sum[k] = (sum[k] ?? 0) + value;
        squares[k] = (squares[k] ?? 0) + value * value;
      }),
    );
    const mean = sum.map((total) => total / this.vocabSize);
    const deviation = squares.map((total, k) => Math.sqrt(Math.max(0, total / this.vocabSize - (mean[k] ?? 0) ** 2)));
    return { mean, deviation };
  }

  /** The tokens whose rows point most nearly the same way as `row`, nearest first, by cosine similarity. */
  async nearest(row: Float32Array, count: number): Promise<{ id: number; similarity: number }[]> {
    const length = Math.hypot(...row) || 1;
    let best: { id: number; similarity: number }[] = [];
    await this.scan((firstId, rows) => {
      const found = Array.from({ length: rows.length / this.width }, (_, r) => {
        let [dot, squares] = [0, 0];
        for (let k = 0; k < this.width; k++) {
          const value = rows[r * this.width + k] ?? 0;
          dot += value * (row[k] ?? 0);
          squares += value * value;
        }
        return { id: firstId + r, similarity: dot / (length * (Math.sqrt(squares) || 1)) };
      });
      best = [...best, ...found].toSorted((a, b) => b.similarity - a.similarity).slice(0, count);
    });
    return best;
  }

  private async read(firstId: number, count: number): Promise<Float32Array> {
    if (!Number.isInteger(firstId) || firstId < 0 || firstId + count > this.vocabSize) {
      throw new TextualInversionError('OPTION_INVALID', {
        where: `token id of ${this.ref.name}`,
        expected: `0 to ${this.vocabSize - 1}`,
        found: String(firstId),
      });
    }
    const bytes = await this.ref.source.read(this.ref.offset + firstId * this.rowBytes, count * this.rowBytes);
    const rows = toFloat32(bytes, this.ref.dtype);
    const bad = rows.findIndex((value) => !Number.isFinite(value));
    if (bad >= 0) {
      const id = firstId + Math.floor(bad / this.width);
      throw new TextualInversionError('WEIGHT_NOT_FINITE', {
        where: `${this.ref.name}, row ${id}`,
        expected: 'finite numbers',
        found: String(rows[bad]),
      });
    }
    return rows;
  }
}
