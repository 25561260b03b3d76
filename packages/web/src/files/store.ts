import { sha256 } from '@noble/hashes/sha2.js';
import { bytesToHex } from '@noble/hashes/utils.js';
import { type FileTree, TextualInversionError, throwIfAborted } from '@textual-inversion/core';
import {
  exclusively,
  namesIn,
  piecesOf,
  privateFolder,
  readPrivate,
  readPrivateJson,
  removePrivate,
  writeInPlace,
  writePrivate,
} from './private-files.js';
import { address, failed, fetchFrom, listRemote, type RemoteFiles, withoutOtherVariants } from './remote.js';
import { blobSource } from './sources.js';

const MANIFEST = 'manifest.json';
const GOES_ON = 'Try again: it goes on from there.';

/** A model in the storage of this site. */
export interface StoredModel {
  readonly name: string;
  readonly url: string;
  /** What is there, of what there has to be. */
  readonly bytes: number;
  readonly totalBytes: number;
  readonly complete: boolean;
}

interface Manifest {
  readonly url: string;
  readonly files: RemoteFiles;
  /** Sums of files that came whole. */
  readonly sums: Readonly<Record<string, string>>;
}

export interface DownloadOptions {
  /** What to call it. @defaultValue the address */
  readonly name?: string;
  /** Its files, where the host has neither a `files.json` nor the usual names. */
  readonly files?: RemoteFiles;
  /** Which of several sets of weights, such as `fp16`; the others are not fetched. By default full precision where it is there. */
  readonly variant?: string;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: { path: string; bytes: number; totalBytes: number }) => void;
}

/** Models that are kept here, whole or in part. */
export async function listModels(): Promise<StoredModel[]> {
  const models = await privateFolder('models');
  const found: StoredModel[] = [];
  for (const key of await namesIn(models)) {
    const folder = await models.getDirectoryHandle(key);
    const manifest = await readManifest(folder);
    if (!manifest) continue;
    const sizes = await Promise.all(
      Object.keys(manifest.files).map(async (path) => (await readPrivate(folder, keyOf(path)))?.size ?? 0),
    );
    found.push({
      name: decodeURIComponent(key),
      url: manifest.url,
      bytes: sizes.reduce((sum, size) => sum + size, 0),
      totalBytes: totalOf(manifest.files),
      complete: Object.keys(manifest.files).every((path) => manifest.sums[path] !== undefined),
    });
  }
  return found;
}

/** Deletes a stored model. @throws STORAGE_BUSY while it is being downloaded */
export async function deleteModel(name: string): Promise<void> {
  await exclusively(`model ${name}`, async () => removePrivate(await privateFolder('models'), keyOf(name)));
}

/** Opens a model that is stored whole. @throws MODEL_MISSING_FILE */
export async function openStoredModel(name: string): Promise<FileTree> {
  const folder = await privateFolder('models', keyOf(name));
  const manifest = await readManifest(folder);
  const missing = Object.keys(manifest?.files ?? {}).find((path) => manifest?.sums[path] === undefined);
  if (!manifest || missing !== undefined) {
    throw new TextualInversionError('MODEL_MISSING_FILE', {
      where: name,
      expected: 'a stored model',
      found: manifest ? `a download without ${missing}` : 'nothing',
      fix: 'Download it first.',
    });
  }
  return {
    name,
    list: async () => Object.keys(manifest.files),
    open: async (path) => {
      const file = manifest.files[path] && (await readPrivate(folder, keyOf(path)));
      return file && blobSource(file, path, `${file.size}-${file.lastModified}`);
    },
  };
}

/**
 * Brings a model into the storage of this site, or what is missing of it: a download that broke off goes on where it was.
 * Lengths and checksums are checked.
 * @throws MODEL_MISSING_FILE where a part has no weights of the variant; DOWNLOAD_FAILED; STORAGE_FULL before anything is fetched; STORAGE_BUSY; ABORTED
 */
export async function downloadModel(url: string, options: DownloadOptions = {}): Promise<FileTree> {
  const { name = url, variant, signal, onProgress } = options;
  return exclusively(`model ${name}`, async () => {
    const folder = await privateFolder('models', keyOf(name));
    const known = await readManifest(folder);
    const list = async () =>
      withoutOtherVariants(url, options.files ?? (await listRemote(url, signal)), variant, signal);
    const fresh = await list().catch((error: unknown) => {
      const offline = error instanceof TextualInversionError && error.code === 'DOWNLOAD_FAILED';
      if (offline && known?.url === url) return known.files; // with all of it here
      throw error;
    });
    const same = known !== undefined && known.url === url && JSON.stringify(known.files) === JSON.stringify(fresh);
    if (!same && known) for (const path of Object.keys(known.files)) await removePrivate(folder, keyOf(path));
    let manifest: Manifest = same ? known : { url, files: fresh, sums: {} };
    await writePrivate(folder, MANIFEST, JSON.stringify(manifest));

    const totalBytes = totalOf(fresh);
    let bytes = 0;
    for (const path of Object.keys(fresh)) bytes += (await readPrivate(folder, keyOf(path)))?.size ?? 0;
    await checkRoom(folder, name, totalBytes - bytes);
    for (const [path, file] of Object.entries(fresh)) {
      throwIfAborted(signal, url);
      if (manifest.sums[path] !== undefined) continue;
      const sum = await downloadFile(address(url, path), folder, path, file.size, signal, (added) => {
        bytes += added;
        onProgress?.({ path, bytes, totalBytes });
      });
      if (file.sha256 !== undefined && file.sha256 !== sum) {
        await removePrivate(folder, keyOf(path));
        throw failed(address(url, path), `SHA-256 ${file.sha256}`, sum, 'The file was damaged on its way; try again.');
      }
      manifest = { ...manifest, sums: { ...manifest.sums, [path]: sum } };
      await writePrivate(folder, MANIFEST, JSON.stringify(manifest));
    }
    return openStoredModel(name);
  });
}

/** Fetches what is missing of a file. @returns its SHA-256 */
async function downloadFile(
  url: string,
  folder: FileSystemDirectoryHandle,
  path: string,
  size: number,
  signal: AbortSignal | undefined,
  onBytes: (added: number) => void,
): Promise<string> {
  const name = keyOf(path);
  const part = await readPrivate(folder, name);
  let hash = sha256.create();
  let done = 0;
  if (part && part.size <= size) {
    for await (const piece of piecesOf(part)) {
      throwIfAborted(signal, url);
      hash.update(piece);
      done += piece.length;
    }
  }
  if (done < size || size === 0) {
    const response = await fetchFrom(url, done, size, signal);
    if (done > 0 && response.status !== 206) {
      // The whole file, not the rest of it.
      onBytes(-done);
      hash = sha256.create();
      done = 0;
    }
    const reader = response.body?.getReader();
    try {
      await writeInPlace(folder, name, done, async (file) => {
        for (;;) {
          const chunk = await reader?.read().catch((cause: unknown) => {
            throwIfAborted(signal, url);
            throw failed(url, `${size} bytes`, `a connection that broke after ${done}`, GOES_ON, cause);
          });
          if (!chunk || chunk.done) return;
          if (done + chunk.value.length > size) throw failed(url, `${size} bytes`, 'more');
          await file.write(chunk.value);
          hash.update(chunk.value);
          done += chunk.value.length;
          onBytes(chunk.value.length);
        }
      });
    } finally {
      await reader?.cancel().catch(() => {}); // nobody waits for the rest; a connection that broke is told above
    }
  }
  if (done < size) throw failed(url, `${size} bytes`, `${done}: half a file`, GOES_ON);
  return bytesToHex(hash.digest());
}

/** Browsers round what they tell of the quota, so it is also tried out: a file becomes as long as needed, and nothing is written. @throws STORAGE_FULL */
async function checkRoom(folder: FileSystemDirectoryHandle, where: string, needed: number): Promise<void> {
  const { quota = Number.POSITIVE_INFINITY, usage = 0 } = await navigator.storage.estimate();
  if (needed <= quota - usage && (await fits(folder, needed))) return;
  const megabytes = (bytes: number) => `${Math.ceil(bytes / 2 ** 20)} MiB`;
  throw new TextualInversionError('STORAGE_FULL', {
    where,
    expected: `${megabytes(needed)} of storage for this site`,
    found: needed <= quota - usage ? 'less' : `${megabytes(quota - usage)} left`,
    fix: 'Delete stored models, or free disk space. Nothing was downloaded.',
    details: { needed, quota, usage },
  });
}

async function fits(folder: FileSystemDirectoryHandle, needed: number): Promise<boolean> {
  try {
    await writeInPlace(folder, 'room', 0, (file) => file.truncate(Math.max(0, needed)));
    return true;
  } catch (error) {
    if (error instanceof TextualInversionError && error.code === 'STORAGE_FULL') return false;
    throw error;
  } finally {
    await removePrivate(folder, 'room');
  }
}

async function readManifest(folder: FileSystemDirectoryHandle): Promise<Manifest | undefined> {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- written by downloadModel alone, in private storage
  return (await readPrivateJson(folder, MANIFEST)) as Manifest | undefined;
}

function totalOf(files: RemoteFiles): number {
  return Object.values(files).reduce((sum, { size }) => sum + size, 0);
}

/** A path or address as the name of one file. */
function keyOf(path: string): string {
  return encodeURIComponent(path).replaceAll('.', '%2E');
}
