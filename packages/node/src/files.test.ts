import type * as promises from 'node:fs/promises';
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { checkWritable, openFile, openFolder, writeFileSafely } from './files.js';

/** What the disk says to the next file that is written. */
const disk = vi.hoisted((): { problem: string | undefined } => ({ problem: undefined }));
vi.mock('node:fs/promises', async (original) => {
  const fs = await original<typeof promises>();
  const open: typeof fs.open = async (...args) => {
    const handle = await fs.open(...args);
    if (disk.problem !== undefined)
      handle.writeFile = async () => {
        await handle.write('half of'); // what there was room for
        throw Object.assign(new Error(`${disk.problem}: no space left on device, write`), { code: disk.problem });
      };
    return handle;
  };
  return { ...fs, open };
});

let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ti-files-'));
});
afterEach(async () => {
  disk.problem = undefined;
  await rm(folder, { recursive: true, force: true });
});

describe('a folder', () => {
  it('lists what lies behind links, and does not walk in circles', async () => {
    const model = join(folder, 'model');
    await mkdir(join(folder, 'elsewhere/deep'), { recursive: true });
    await mkdir(model);
    await writeFile(join(folder, 'elsewhere/deep/weights'), 'x');
    await writeFile(join(model, 'index.json'), '{}');
    await symlink(join(folder, 'elsewhere'), join(model, 'vae'));
    await symlink(model, join(folder, 'elsewhere/up'));
    await symlink(join(folder, 'nowhere'), join(model, 'dangling'));
    const tree = await openFolder(model);
    expect((await tree.list()).toSorted()).toEqual(['dangling', 'index.json', 'vae/deep/weights']);
    expect((await tree.open('vae/deep/weights'))?.size).toBe(1);
  });
});

describe('a file', () => {
  it('is read by ranges', async () => {
    await writeFile(join(folder, 'a.bin'), '0123456789');
    const file = await openFile(join(folder, 'a.bin'), 'a.bin');
    expect(file).toMatchObject({ name: 'a.bin', size: 10 });
    expect(Buffer.from((await file?.read(3, 4)) ?? []).toString()).toBe('3456');
    expect(await file?.read(10, 0)).toHaveLength(0);
    await expect(file?.read(8, 4)).rejects.toMatchObject({ code: 'WEIGHT_FORMAT' });
  });

  it('is the file that a link leads to', async () => {
    await writeFile(join(folder, 'blob'), 'x');
    await symlink(join(folder, 'blob'), join(folder, 'link'));
    expect((await openFile(join(folder, 'link')))?.path).toBe((await openFile(join(folder, 'blob')))?.path);
  });

  it('has another version when it changes', async () => {
    const path = join(folder, 'a');
    await writeFile(path, 'x');
    const before = (await openFile(path))?.version;
    expect((await openFile(path))?.version).toBe(before);
    await utimes(path, 1, 1);
    expect((await openFile(path))?.version).not.toBe(before);
  });

  it('that changed since it was opened is not read, and says so by its version', async () => {
    const path = join(folder, 'model.safetensors');
    await writeFile(path, 'x');
    const file = await openFile(path);
    const before = file?.version;
    expect(await file?.read(0, 1)).toHaveLength(1);
    await writeFile(path, 'longer');
    expect(file?.version).not.toBe(before);
    await expect(file?.read(0, 1)).rejects.toMatchObject({ code: 'WEIGHT_CHANGED' });
    await rm(path);
    expect(file?.version).toBeUndefined();
  });

  it('that is none is undefined', async () => {
    expect(await openFile(join(folder, 'none'))).toBeUndefined();
    expect(await openFile(folder)).toBeUndefined();
  });
});

describe('a folder', () => {
  it('lists what is below it, with slashes', async () => {
    await mkdir(join(folder, 'unet'));
    await writeFile(join(folder, 'unet', 'config.json'), '{}');
    const tree = await openFolder(folder);
    expect(await tree.list()).toEqual(['unet/config.json']);
    expect((await tree.open('unet/config.json'))?.size).toBe(2);
    expect(await tree.open('unet/none')).toBeUndefined();
  });

  it('that is none is refused', async () => {
    await expect(openFolder(join(folder, 'none'))).rejects.toMatchObject({ code: 'MODEL_MISSING_FILE' });
  });
});

describe('writing', () => {
  it('makes the folders it needs and leaves nothing else', async () => {
    await writeFileSafely(join(folder, 'a/b/c.txt'), 'x');
    expect(await readdir(join(folder, 'a/b'))).toEqual(['c.txt']);
  });

  it('keeps what is there unless it is asked to', async () => {
    const path = join(folder, 'c.txt');
    await writeFile(path, 'old');
    await expect(writeFileSafely(path, 'new')).rejects.toMatchObject({ code: 'OUTPUT_EXISTS' });
    expect(await readFile(path, 'utf8')).toBe('old');
    await writeFileSafely(path, 'new', { overwrite: true });
    expect(await readFile(path, 'utf8')).toBe('new');
  });

  it('leaves the old file and nothing half written on a full disk', async () => {
    const path = join(folder, 'c.txt');
    await writeFile(path, 'old');
    disk.problem = 'ENOSPC';
    await expect(writeFileSafely(path, 'new', { overwrite: true })).rejects.toMatchObject({
      code: 'OUTPUT_FAILED',
      message: expect.stringContaining('no space left') as string,
    });
    disk.problem = undefined;
    expect(await readdir(folder)).toEqual(['c.txt']);
    expect(await readFile(path, 'utf8')).toBe('old');
  });

  it('refuses a place that is a folder, or below a file', async () => {
    await mkdir(join(folder, 'taken'));
    await writeFile(join(folder, 'file'), '');
    await expect(writeFileSafely(join(folder, 'taken'), 'x', { overwrite: true })).rejects.toMatchObject({
      code: 'OUTPUT_FAILED',
    });
    await expect(writeFileSafely(join(folder, 'file/x'), 'x')).rejects.toMatchObject({ code: 'OUTPUT_FAILED' });
    expect((await readdir(folder)).toSorted()).toEqual(['file', 'taken']);
  });

  it('is checked beforehand without leaving a trace', async () => {
    await writeFile(join(folder, 'file'), '');
    await checkWritable(join(folder, 'new/deeper'));
    await expect(checkWritable(join(folder, 'file'))).rejects.toMatchObject({ code: 'OUTPUT_UNWRITABLE' });
    await expect(checkWritable(join(folder, 'file/below'))).rejects.toMatchObject({ code: 'OUTPUT_UNWRITABLE' });
    expect(await readdir(folder)).toEqual(['file']);
  });
});
