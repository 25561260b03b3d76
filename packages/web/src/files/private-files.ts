import { TextualInversionError } from '@textual-inversion/core';

const ROOT = 'textual-inversion';
/** Bytes of a stored file that are in memory together. */
const PIECE_BYTES = 8 * 2 ** 20;

/** A folder of ours in the origin private file system. @throws BACKEND_UNAVAILABLE where a browser has none */
export async function privateFolder(...path: string[]): Promise<FileSystemDirectoryHandle> {
  const { storage }: Partial<Navigator> = navigator;
  if (!storage?.getDirectory) {
    const [found, fix] = isSecureContext
      ? ['one that does not', 'Update the browser.']
      : ['a page over plain http, for which none does', 'Serve the page over https or from localhost.'];
    const expected = 'a browser that keeps files for a site';
    throw new TextualInversionError('BACKEND_UNAVAILABLE', { where: 'private storage', expected, found, fix });
  }
  try {
    let folder = await storage.getDirectory();
    for (const part of [ROOT, ...path]) folder = await folder.getDirectoryHandle(part, { create: true });
    return folder;
  } catch (cause) {
    throw storageError('private storage', cause);
  }
}

/** Writes a file whole or not at all. @throws STORAGE_FULL, STORAGE_BUSY */
export async function writePrivate(
  folder: FileSystemDirectoryHandle,
  name: string,
  content: Uint8Array | string | Blob,
): Promise<void> {
  const whole = new Blob([content instanceof Uint8Array ? new Uint8Array(content) : content]);
  try {
    if ('createWritable' in FileSystemFileHandle.prototype) {
      const writable = await (await folder.getFileHandle(name, { create: true })).createWritable();
      try {
        await writable.write(whole);
        await writable.close();
      } catch (error) {
        await writable.abort().catch(() => {}); // the first failure is the one to tell
        throw error;
      }
    } else await replacePrivate(folder, name, whole);
  } catch (cause) {
    throw storageError(name, cause);
  }
}

/** Writes a file whole or not at all where files are written in place alone, as in Safari before 26: it gets its name when it is whole. */
async function replacePrivate(folder: FileSystemDirectoryHandle, name: string, content: Blob): Promise<void> {
  const part = `${name}.part`;
  try {
    await writeInPlace(folder, part, 0, async (file) => {
      for await (const piece of piecesOf(content)) await file.write(piece);
    });
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- every browser with such files moves them
    const written = (await folder.getFileHandle(part)) as FileSystemFileHandle & InPlace;
    await written.move(name);
  } catch (error) {
    await removePrivate(folder, part).catch(() => {}); // the first failure is the one to tell
    throw error;
  }
}

/** A file that is being written. */
export interface OpenFile {
  write(bytes: Uint8Array<ArrayBuffer>): Promise<void>;
  truncate(size: number): Promise<void>;
}

/** What file handles have that TypeScript keeps in the types of workers, or does not know. */
interface InPlace {
  createSyncAccessHandle(): Promise<{
    truncate(size: number): void;
    write(bytes: Uint8Array, options: { at: number }): number;
    getSize(): number;
    close(): void;
  }>;
  move(name: string): Promise<void>;
}

/**
 * Writes into a file from `offset` on, where it is cut off. What was written stays when `action` fails. In a worker it is on disk at once;
 * on a page it is when the file is closed.
 * @throws BACKEND_UNAVAILABLE, STORAGE_FULL, STORAGE_BUSY, and what `action` throws
 */
export async function writeInPlace(
  folder: FileSystemDirectoryHandle,
  name: string,
  offset: number,
  action: (file: OpenFile) => Promise<void>,
): Promise<void> {
  try {
    const file = await openFile(folder, name, offset);
    await action(file).catch(async (error: unknown) => {
      await file.close().catch(() => {}); // the first failure is the one to tell
      throw error;
    });
    await file.close();
  } catch (cause) {
    throw storageError(name, cause);
  }
}

async function openFile(
  folder: FileSystemDirectoryHandle,
  name: string,
  offset: number,
): Promise<OpenFile & { close(): Promise<void> }> {
  const file: Partial<FileSystemFileHandle & InPlace> = await folder.getFileHandle(name, { create: true });
  if (file.createSyncAccessHandle) {
    const handle = await file.createSyncAccessHandle();
    handle.truncate(offset);
    let at = offset;
    // In a private window Chromium throws nothing where there is no room.
    const checkSize = (size: number) => {
      if (handle.getSize() !== size) throw new DOMException('no room', 'QuotaExceededError');
    };
    return {
      write: async (bytes) => {
        handle.write(bytes, { at });
        at += bytes.length;
        checkSize(at);
      },
      truncate: async (size) => {
        handle.truncate(size);
        checkSize(size);
      },
      close: async () => handle.close(),
    };
  }
  if (file.createWritable) {
    const writable = await file.createWritable({ keepExistingData: offset > 0 });
    await writable.seek(offset);
    return writable;
  }
  throw new TextualInversionError('BACKEND_UNAVAILABLE', {
    where: 'private storage',
    expected: 'a browser that writes it from a page',
    found: 'one that writes it from workers alone',
    fix: 'Let a worker do the work.',
  });
}

/** The bytes of a file, some megabytes at a time. */
export async function* piecesOf(file: Blob): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  for (let at = 0; at < file.size; at += PIECE_BYTES)
    yield new Uint8Array(await file.slice(at, at + PIECE_BYTES).arrayBuffer());
}

/** Reads a file; `undefined` when it is not there. */
export async function readPrivate(folder: FileSystemDirectoryHandle, name: string): Promise<File | undefined> {
  try {
    return await (await folder.getFileHandle(name)).getFile();
  } catch (error) {
    if (error instanceof DOMException && error.name === 'NotFoundError') return undefined;
    throw storageError(name, error);
  }
}

/** Reads JSON of our own; `undefined` when it is not there or was cut off. */
export async function readPrivateJson(folder: FileSystemDirectoryHandle, name: string): Promise<unknown> {
  const file = await readPrivate(folder, name);
  try {
    return file && (JSON.parse(await file.text()) as unknown);
  } catch {
    return undefined;
  }
}

export async function removePrivate(folder: FileSystemDirectoryHandle, name: string): Promise<void> {
  await folder.removeEntry(name, { recursive: true }).catch((error: unknown) => {
    if (error instanceof DOMException && error.name === 'NotFoundError') return;
    throw storageError(name, error);
  });
}

/** Names below a folder. */
export async function namesIn(folder: FileSystemDirectoryHandle): Promise<string[]> {
  const names: string[] = [];
  for await (const name of folder.keys()) names.push(name);
  return names.sort();
}

/**
 * Runs `action` while no other tab of this origin runs one of the same name. A page over plain http has no locks, and no storage that they would guard.
 * @throws STORAGE_BUSY
 */
export async function exclusively<T>(name: string, action: () => Promise<T>): Promise<T> {
  const { locks }: Partial<Navigator> = navigator;
  if (!locks) return action();
  return locks.request(`${ROOT}:${name}`, { ifAvailable: true }, async (lock) => {
    if (lock) return action();
    throw new TextualInversionError('STORAGE_BUSY', {
      where: name,
      expected: 'one tab at a time',
      found: 'another tab that is at it',
      fix: 'Go on there, or close it first.',
    });
  });
}

/** What to tell of a failure of the browser's storage. @param name - As in the storage, where names are encoded */
function storageError(name: string, cause: unknown): unknown {
  if (!(cause instanceof DOMException)) return cause;
  const where = decodeURIComponent(name);
  if (cause.name === 'QuotaExceededError') {
    return new TextualInversionError('STORAGE_FULL', {
      where,
      expected: 'room in the storage of this site',
      found: 'none left',
      fix: 'Delete stored models, or free disk space.',
      cause,
    });
  }
  if (cause.name === 'NoModificationAllowedError') {
    return new TextualInversionError('STORAGE_BUSY', {
      where,
      expected: 'a file that nobody else writes',
      found: 'one that another tab has open',
      fix: 'Close the other tab.',
      cause,
    });
  }
  if (cause.name === 'SecurityError') {
    return new TextualInversionError('OUTPUT_FAILED', {
      where,
      expected: 'storage for this site',
      found: 'a browser that forbids it',
      fix: 'Leave private browsing, or allow the site to keep data.',
      cause,
    });
  }
  return new TextualInversionError('OUTPUT_FAILED', {
    where,
    expected: 'storage that works',
    found: `${cause.name}: ${cause.message}`,
    fix: 'Try again; reload the page if it fails again.',
    cause,
  });
}
