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
    await expect(readCaptions(['a {}', 'b {}', 'c {}', 'd {}'], images)).rejects.toMatchObject({
      code: 'OPTION_INVALID',
    });
  });
  it('are text: UTF-8, or UTF-16 that says so', async () => {
    const others = ['d.png', 'e.png', 'f.png', 'g.png'].map((name) => join(folder, name));
    writeFileSync(join(folder, 'd.TXT'), 'café {}');
    writeFileSync(join(folder, 'e.txt'), Buffer.from('\ufeffa {}', 'utf16le'));
    writeFileSync(join(folder, 'f.txt'), Buffer.from('\ufeffa {}', 'utf16le').swap16());
    writeFileSync(join(folder, 'g.txt'), '\ufeffa {}\r\n');
    expect(await readCaptions(undefined, others)).toEqual(['café {}', 'a {}', 'a {}', 'a {}']);
    writeFileSync(join(folder, 'g.txt'), Buffer.from('café {}', 'latin1'));
    await expect(readCaptions(undefined, others)).rejects.toMatchObject({
      code: 'OPTION_INVALID',
      message: expect.stringContaining('g.txt') as string,
    });
  });
});
