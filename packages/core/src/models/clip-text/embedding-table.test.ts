import { expect, test } from 'vitest';
import type { TensorRef } from '../../platform.js';
import { EmbeddingTable } from './embedding-table.js';

/** Four rows of three numbers, behind eight bytes of something else; counts what is read. */
function table(values: readonly number[]): { ref: TensorRef; reads: number[] } {
  const reads: number[] = [];
  const bytes = new Uint8Array(8 + values.length * 4);
  new Float32Array(bytes.buffer, 8).set(values);
  const read = async (offset: number, length: number): Promise<Uint8Array> => {
    reads.push(length);
    return bytes.slice(offset, offset + length);
  };
  const source = { name: 'model.safetensors', size: bytes.length, read };
  return { ref: { name: 'embedding', dtype: 'F32', shape: [4, 3], source, offset: 8, length: 48 }, reads };
}

const VALUES = [1, 0, 0, 0, 2, 0, 0, 0, 3, 1, 1, 0];
const SHAPE = { vocabSize: 4, width: 3 };

test('reads each row that is asked for once', async () => {
  const { ref, reads } = table(VALUES);
  const embeddings = new EmbeddingTable(ref, SHAPE);
  expect([...(await embeddings.rows([2, 0, 2]))]).toEqual([0, 0, 3, 1, 0, 0, 0, 0, 3]);
  await embeddings.rows([0]);
  expect(reads).toEqual([12, 12]);
});

test('statistics per dimension', async () => {
  const { mean, deviation } = await new EmbeddingTable(table(VALUES).ref, SHAPE).statistics();
  expect([...mean]).toEqual([0.5, 0.75, 0.75]);
  expect(deviation[0]).toBeCloseTo(0.5, 12);
});

test('nearest rows by direction', async () => {
  const found = await new EmbeddingTable(table(VALUES).ref, SHAPE).nearest(Float32Array.of(2, 1.9, 0), 2);
  expect(found.map(({ id }) => id)).toEqual([3, 0]);
  expect(found[0]?.similarity).toBeGreaterThan(0.99);
});

test('refuses another shape, an id outside and numbers that are none', async () => {
  const { ref } = table(VALUES);
  expect(() => new EmbeddingTable(ref, { vocabSize: 5, width: 3 })).toThrowError(
    expect.objectContaining({ code: 'WEIGHT_SHAPE' }),
  );
  await expect(new EmbeddingTable(ref, SHAPE).rows([4])).rejects.toMatchObject({ code: 'OPTION_INVALID' });
  const broken = new EmbeddingTable(table(VALUES.with(4, Number.NaN)).ref, SHAPE);
  await expect(broken.rows([1])).rejects.toMatchObject({ code: 'WEIGHT_NOT_FINITE' });
});
