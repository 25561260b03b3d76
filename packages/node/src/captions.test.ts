import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { readCaptions } from './captions.js';

describe('captions', () => {
  const folder = mkdtempSync(join(tmpdir(), 'ti-captions-'));
  const images = ['a.png', 'b.jpeg', 'c.webp'].map((name) => join(folder, name));
  writeFileSync(join(folder, 'a.txt'), ' a photo of {} on the beach\n');
  writeFileSync(join(folder, 'c.txt'), '\n');
  afterAll(() => rmSync(folder, { recursive: true }));

  it('lie beside the pictures, named like them; an empty one is none', async () => {
    expect(await readCaptions(undefined, images)).toEqual(['a photo of {} on the beach', undefined, undefined]);
  });
  it('lie in a folder that is named, which must have some', async () => {
    expect(await readCaptions(folder, [join('elsewhere', 'a.png')])).toEqual(['a photo of {} on the beach']);
    await expect(readCaptions(join(folder, 'none'), images)).rejects.toMatchObject({ code: 'OPTION_INVALID' });
  });
  it('are given one by one, or not at all', async () => {
    expect(await readCaptions(['{} here'], images)).toEqual(['{} here']);
    expect(await readCaptions(false, images)).toEqual([]);
  });
});
