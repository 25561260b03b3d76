import { describe, expect, test } from 'vitest';
import type { Concept } from '../concepts/concept.js';
import type { TextEncoder as Encoder } from '../models/diffusion-model.js';
import { Generator } from '../random.js';
import { type Initializer, initialRows } from './initializer.js';

const WORDS = ['cat', 'dog', 'tabby', '<end>'];

/** An encoder whose words have the rows `[10 id, 10 id + 1, ...]`. */
function encoder(width: number): Encoder {
  const row = (id: number) => Array.from({ length: width }, (_, k) => 10 * id + k);
  const tokenizer = {
    encode: (text: string) => text.split(' ').flatMap((word) => (word ? [WORDS.indexOf(word)] : [])),
    wordOf: (id: number) => WORDS[id] ?? '',
  };
  const table = {
    width,
    rows: async (ids: readonly number[]) => Float32Array.from(ids.flatMap(row)),
    statistics: async () => ({
      mean: Float64Array.from({ length: width }, (_, k) => k),
      deviation: new Float64Array(width).fill(0.5),
    }),
  };
  return { tokenizer, table } as unknown as Encoder;
}

const ENCODERS = [encoder(2), encoder(3)];
const start = (initializer: Initializer, vectors?: number) =>
  initialRows(ENCODERS, initializer, vectors, new Generator(0));
const plain = (rows: Awaited<ReturnType<typeof start>>) => rows.map(({ data, shape }) => [[...data], shape]);

describe('initialRows', () => {
  test('a word: its row in each encoder', async () => {
    expect(plain(await start('dog'))).toEqual([
      [
        [10, 11],
        [1, 2],
      ],
      [
        [10, 11, 12],
        [1, 3],
      ],
    ]);
  });

  test('a phrase: the rows of its tokens in turn', async () => {
    const [first] = plain(await start('tabby cat', 3));
    expect(first).toEqual([
      [20, 21, 0, 1, 20, 21],
      [3, 2],
    ]);
  });

  test.each<[string, number | undefined, RegExp]>([
    ['tabby cat', undefined, /one token.*tabby \+ cat.*2 vectors/],
    ['tabby cat dog', 2, /at most 2 tokens.*is 3: tabby \+ cat \+ dog.*3 vectors/],
    ['', undefined, /is 0.*word that says roughly/],
  ])('%j in %s rows is refused, with what to do', async (words, vectors, message) => {
    const rows = start(words, vectors);
    await expect(rows).rejects.toMatchObject({
      code: 'INITIALIZER_INVALID',
      message: expect.stringMatching(message),
    });
  });

  test('a concept: its rows, as many as it has or in turn; another model’s is refused', async () => {
    const concept: Concept = {
      token: '<x>',
      rows: [
        { data: Float32Array.of(1, 2, 3, 4), shape: [2, 2] },
        { data: Float32Array.of(5, 6, 7, 8, 9, 10), shape: [2, 3] },
      ],
      info: {},
    };
    expect(await start(concept)).toEqual(concept.rows);
    expect(plain(await start(concept, 3))[0]).toEqual([
      [1, 2, 3, 4, 1, 2],
      [3, 2],
    ]);
    const [own] = await start(concept);
    expect(own?.data).not.toBe(concept.rows[0]?.data);
    await expect(start({ ...concept, rows: concept.rows.slice(0, 1) })).rejects.toMatchObject({
      code: 'CONCEPT_WIDTH',
    });
  });

  test('random rows have the mean and the deviation of the vocabulary', async () => {
    const [first, second] = await start({ random: true }, 4000);
    expect(second?.shape).toEqual([4000, 3]);
    for (const k of [0, 1]) {
      const column = (first?.data ?? new Float32Array()).filter((_, i) => i % 2 === k);
      const mean = column.reduce((sum, value) => sum + value, 0) / column.length;
      const variance = column.reduce((sum, value) => sum + (value - mean) ** 2, 0) / column.length;
      expect(mean).toBeCloseTo(k, 1);
      expect(Math.sqrt(variance)).toBeCloseTo(0.5, 1);
    }
    expect(await start({ random: true }, 2)).toEqual(await start({ random: true }, 2));
  });
});
