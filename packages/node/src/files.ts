import { randomBytes } from 'node:crypto';
import { existsSync, type Stats, statSync } from 'node:fs';
import { access, constants, mkdir, open, readdir, realpath, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { type ByteSource, type FileTree, TextualInversionError } from '@textual-inversion/core';

/**
 * Opens a file for ranged reads; `undefined` when there is none. Links are followed, so that an engine may map the real file.
 * Reads throw WEIGHT_CHANGED when the file is no longer the one that was opened: what its header said may not hold.
 */
export async function openFile(path: string, name = path): Promise<ByteSource | undefined> {
  const info = await stat(path).catch(() => undefined);
  if (!info?.isFile()) return undefined;
  const opened = versionOf(info);
  return {
    name,
    path: await realpath(path),
    size: info.size,
    get version() {
      const now = statSync(path, { throwIfNoEntry: false });
      return now && versionOf(now);
    },
    async read(offset, length) {
      const file = await open(path, 'r');
      try {
        if (versionOf(await file.stat()) !== opened) {
          throw new TextualInversionError('WEIGHT_CHANGED', {
            where: name,
            expected: 'the file that was opened',
            found: 'another size or time of modification',
            fix: 'Load it again, when whatever writes it has finished.',
          });
        }
        const bytes = new Uint8Array(length);
        for (let done = 0; done < length; ) {
          const { bytesRead } = await file.read(bytes, done, length - done, offset + done);
          if (bytesRead === 0) {
            throw new TextualInversionError('WEIGHT_FORMAT', {
              where: name,
              expected: `${length} bytes from ${offset}`,
              found: `the end of the file after ${done}`,
            });
          }
          done += bytesRead;
        }
        return bytes;
      } finally {
        await file.close();
      }
    },
  };
}

const versionOf = ({ size, mtimeMs }: Stats): string => `${size}-${mtimeMs}`;

/** A folder as core sees it. @throws MODEL_MISSING_FILE when it is none */
export async function openFolder(folder: string): Promise<FileTree> {
  const info = await stat(folder).catch(() => undefined);
  if (!info?.isDirectory()) {
    throw new TextualInversionError('MODEL_MISSING_FILE', {
      where: folder,
      expected: 'the folder of a model in the diffusers layout',
      found: info ? 'a file' : 'nothing',
      fix: 'Give a folder with a model_index.json, or "tiny".',
    });
  }
  return {
    name: folder,
    list: () => filesBelow(folder),
    open: (path) => openFile(join(folder, path), path),
  };
}

/** Paths of all files below a folder, through links to folders too: parts of a model may lie elsewhere. @param above - Folders that this one lies in. */
async function filesBelow(folder: string, above: readonly string[] = []): Promise<string[]> {
  const real = await realpath(folder);
  if (above.includes(real)) return []; // a link back up
  const entries = await readdir(folder, { withFileTypes: true });
  const paths = await Promise.all(
    entries.map(async (entry) => {
      const path = join(folder, entry.name);
      const target = entry.isSymbolicLink() ? await stat(path).catch(() => entry) : entry;
      if (!target.isDirectory()) return [entry.name];
      return (await filesBelow(path, [...above, real])).map((name) => `${entry.name}/${name}`);
    }),
  );
  return paths.flat();
}

/** What happens to a file that is there. */
export interface WriteOptions {
  /** Replaces a file that is there. @defaultValue false */
  readonly overwrite?: boolean;
}

/**
 * Writes a file whole or not at all: to a temporary name beside it, then renamed.
 * @throws OUTPUT_EXISTS, OUTPUT_FAILED (no room, no permission); nothing is left behind.
 */
export async function writeFileSafely(
  path: string,
  bytes: Uint8Array | string,
  { overwrite = false }: WriteOptions = {},
): Promise<void> {
  if (!overwrite) refuseExisting(path);
  const temporary = join(dirname(path), `.${basename(path)}.${randomBytes(4).toString('hex')}.tmp`);
  try {
    await mkdir(dirname(path), { recursive: true });
    const file = await open(temporary, 'wx');
    try {
      await file.writeFile(bytes);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (cause) {
    await rm(temporary, { force: true }).catch(() => {}); // where the folder is none, nothing was made
    throw new TextualInversionError('OUTPUT_FAILED', {
      where: path,
      expected: 'to write the file',
      found: cause instanceof Error ? cause.message : String(cause),
      fix: 'Nothing was changed. Make room, or choose another place.',
      cause,
    });
  }
}

/**
 * Checks that a folder can be made, or written to, without making it: a long run must not fail at its end.
 * @throws OUTPUT_UNWRITABLE
 */
export async function checkWritable(folder: string): Promise<void> {
  let there = resolve(folder);
  while (!existsSync(there) && dirname(there) !== there) there = dirname(there);
  const info = await stat(there);
  try {
    if (!info.isDirectory()) throw new Error(`${there} is a file`);
    await access(there, constants.W_OK);
  } catch (cause) {
    throw new TextualInversionError('OUTPUT_UNWRITABLE', {
      where: folder,
      expected: 'a folder that can be written to',
      found: cause instanceof Error ? cause.message : String(cause),
      cause,
    });
  }
}

/** @throws OUTPUT_EXISTS */
export function refuseExisting(path: string): void {
  if (!existsSync(path)) return;
  throw new TextualInversionError('OUTPUT_EXISTS', {
    where: path,
    expected: 'a new file',
    found: 'one that is there already',
    fix: 'Choose another name, or replace it with `overwrite` (--overwrite on the command line).',
  });
}
