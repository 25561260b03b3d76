import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Concept, writeConcept } from '@textual-inversion/core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { loadConcept } from './concepts.js';

let folder = '';
beforeAll(() => (folder = mkdtempSync(join(tmpdir(), 'concepts-'))));
afterAll(() => rmSync(folder, { recursive: true }));

const concept = (width: number, vectors = 1): Concept => ({
  token: '<cat>',
  rows: [{ data: new Float32Array(vectors * width).fill(0.5), shape: [vectors, width] }],
  info: {},
});

it.each(['', '-steps-500'])('joins the two files of diffusers: learned_embeds%s', async (steps) => {
  const path = join(folder, `learned_embeds${steps}.safetensors`);
  writeFileSync(path, writeConcept(concept(8)));
  expect((await loadConcept(path)).rows).toHaveLength(1);
  const second = join(folder, `learned_embeds_2${steps}.safetensors`);
  writeFileSync(second, writeConcept(concept(12)));
  expect((await loadConcept(path)).rows.map(({ shape }) => shape)).toEqual([
    [1, 8],
    [1, 12],
  ]);
  expect((await loadConcept(second)).rows).toHaveLength(1);
  writeFileSync(second, writeConcept(concept(12, 2)));
  await expect(loadConcept(path)).rejects.toMatchObject({ code: 'CONCEPT_WIDTH' });
});

it.each(['', 'two words'])('refuses %j as a word', async (token) => {
  const path = join(folder, 'word.safetensors');
  writeFileSync(path, writeConcept(concept(8)));
  await expect(loadConcept(path, { token })).rejects.toMatchObject({ code: 'TOKEN_INVALID' });
});

it('saves by the extension, and reads what it saved', async () => {
  const path = join(folder, 'cat.safetensors');
  writeFileSync(path, writeConcept(concept(8)));
  const loaded = await loadConcept(path, { token: '<dog>' });
  expect(loaded).toMatchObject({ token: '<dog>', format: 'diffusers' });
  for (const [name, format] of [
    ['a.pt', 'a1111'],
    ['a.bin', 'diffusers'],
    ['a.safetensors', 'diffusers'],
  ] as const) {
    await loaded.save(join(folder, name));
    expect(await loadConcept(join(folder, name))).toMatchObject({ token: '<dog>', format, rows: loaded.rows });
  }
  await expect(loaded.save(path)).rejects.toMatchObject({ code: 'OUTPUT_EXISTS' });
  await expect(loadConcept(join(folder, 'none.pt'))).rejects.toMatchObject({ code: 'CONCEPT_FORMAT' });
});
