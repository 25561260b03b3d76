import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { readConcept } from '../../packages/core/src/concepts/formats/index.js';
import { golden, readTensors } from '../support/golden.js';
import { memoryFile } from '../support/memory.js';

const expected = readTensors(golden('concepts', 'expected.safetensors'));
const file = (name: string) => new Uint8Array(readFileSync(golden('concepts', name)));
const files = readdirSync(golden('concepts')).filter((name) => name !== 'expected.safetensors');

/** What each file holds, and how its numbers were rounded when it was written; diffusers' format unless it says another. */
const contents: Record<string, { of: string[]; token: string; format?: string; bits?: number }> = {
  'a1111.pt': { of: ['three'], token: 'cat-toy', format: 'a1111' },
  'compvis.pt': { of: ['three'], token: '<compvis>', format: 'compvis' },
  'diffusers-1d.bin': { of: ['one'], token: '<cat-toy>' },
  'diffusers-3-bf16.bin': { of: ['three'], token: '<cat-toy>', bits: 8 },
  'diffusers-3-half.bin': { of: ['three'], token: '<cat-toy>', bits: 11 },
  'diffusers-3.safetensors': { of: ['three'], token: '<cat-toy>' },
  'diffusers-legacy-tar.bin': { of: ['three'], token: '<cat-toy>' },
  'diffusers-parameter.bin': { of: ['three'], token: '<cat-toy>' },
  'diffusers.bin': { of: ['one'], token: '<cat-toy>' },
  'diffusers.safetensors': { of: ['one'], token: '<cat-toy>' },
  'kohya.pt': { of: ['three'], token: '<kohya>', format: 'kohya' },
  'kohya.safetensors': { of: ['three'], token: '<kohya>', format: 'kohya' },
  'sdxl.safetensors': { of: ['clip_l', 'clip_g'], token: '<sdxl>', format: 'sdxl' },
  'strided.bin': { of: ['strided'], token: '<strided>' },
};

describe('concept files of other tools', () => {
  it('are all listed here', () => expect(Object.keys(contents).toSorted()).toEqual(files.toSorted()));

  it.each(Object.entries(contents))('%s', async (name, { of, token, format = 'diffusers', bits }) => {
    const { concept, format: recognised } = await readConcept(memoryFile(name, file(name)));
    expect(recognised).toBe(format);
    expect(concept.token).toBe(token);
    expect(concept.rows).toHaveLength(of.length);
    of.forEach((key, i) => {
      const { data = [], shape } = expected.get(key) ?? {};
      expect(concept.rows[i]?.shape).toEqual(shape);
      for (const [k, value] of data.entries()) {
        const found = concept.rows[i]?.data[k] ?? Number.NaN;
        if (bits === undefined) expect(found).toBe(value);
        else expect(Math.abs(found - value)).toBeLessThanOrEqual(Math.abs(value) * 2 ** -bits);
      }
    });
  });
});

describe('files from strangers', () => {
  it.each(files)('%s, cut or changed anywhere, is read or refused', async (name) => {
    const whole = file(name);
    const step = Math.max(1, Math.floor(whole.length / 150));
    for (let at = 0; at < whole.length; at += step) {
      const changed = whole.slice();
      changed[at] = (changed[at] ?? 0) ^ 0xff;
      for (const bytes of [whole.slice(0, at), changed]) {
        const outcome = await readConcept(memoryFile(name, bytes)).catch((error: unknown) => error);
        if (outcome instanceof Error)
          expect(outcome).toMatchObject({ code: expect.stringMatching(/^CONCEPT_(FORMAT|UNSAFE)$/) });
        else expect(outcome).toHaveProperty('concept');
      }
    }
  });

  it('never run anything', async () => {
    // (lambda: __import__('os').system('true'))() as pickle protocol 0, in the older container.
    const head = file('diffusers-legacy-tar.bin').slice(0, 137);
    const hostile = new TextEncoder().encode("cos\nsystem\n(S'true'\ntR.");
    const bytes = new Uint8Array([...head, ...hostile]);
    await expect(readConcept(memoryFile('evil.bin', bytes))).rejects.toMatchObject({
      code: 'CONCEPT_UNSAFE',
      details: { name: 'os.system' },
    });
  });
});
