import { TextualInversionError } from '@textual-inversion/core';

const ROOT = 'textual-inversion';

/** A folder of ours in the origin private file system. @throws BACKEND_UNAVAILABLE where a browser has none */
export async function privateFolder(...path: string[]): Promise<FileSystemDirectoryHandle> {
  try {
    let folder = await navigator.storage.getDirectory();
    for (const part of [ROOT, ...path]) folder = await folder.getDirectoryHandle(part, { create: true });
    return folder;
  } catch (cause) {
    throw storageError('private storage', cause);
  }
}

/** Writes a file whole or not at all. @throws STORAGE_FULL */
export async function writePrivate(
  folder: FileSystemDirectoryHandle,
  name: string,
  content: Uint8Array | string | Blob,
): Promise<void> {
  try {
    const file = await folder.getFileHandle(name, { create: true });
    const writable = await file.createWritable();
    try {
      await writable.write(content instanceof Uint8Array ? new Uint8Array(content) : content);
      await writable.close();
    } catch (error) {
      await writable.abort().catch(() => {}); // the first failure is the one to tell
      throw error;
    }
  } catch (cause) {
    throw storageError(name, cause);
  }
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
 * Runs `action` while no other tab of this origin runs one of the same name.
 * @throws STORAGE_BUSY
 */
export async function exclusively<T>(name: string, action: () => Promise<T>): Promise<T> {
  return navigator.locks.request(`${ROOT}:${name}`, { ifAvailable: true }, async (lock) => {
    if (lock) return action();
    throw new TextualInversionError('STORAGE_BUSY', {
      where: name,
      expected: 'one tab at a time',
      found: 'another tab that is at it',
      fix: 'Go on there, or close it first.',
    });
  });
}

export function storageError(where: string, cause: unknown): unknown {
  if (cause instanceof TextualInversionError) return cause;
  const name = cause instanceof DOMException ? cause.name : '';
  if (name === 'QuotaExceededError') {
    return new TextualInversionError('STORAGE_FULL', {
      where,
      expected: 'room in the storage of this site',
      found: 'none left',
      fix: 'Delete stored models, or free disk space.',
      cause,
    });
  }
  if (name === 'NoModificationAllowedError') {
    return new TextualInversionError('STORAGE_BUSY', {
      where,
      expected: 'a file that nobody else writes',
      found: 'one that another tab has open',
      fix: 'Close the other tab.',
      cause,
    });
  }
  if (name === 'SecurityError') {
    return new TextualInversionError('OUTPUT_FAILED', {
      where,
      expected: 'storage for this site',
      found: 'a browser that forbids it',
      fix: 'Leave private browsing, or allow the site to keep data.',
      cause,
    });
  }
  return cause;
}
