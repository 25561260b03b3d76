import { type ByteSource, chooseWeights, type FileTree, TextualInversionError } from '@textual-inversion/core';

/** Files up to this size are fetched whole: one request instead of one per tensor. */
const WHOLE_BYTES = 16 * 2 ** 20;

/** What a folder's `files.json` says of a file. */
export interface RemoteFile {
  readonly size: number;
  /** SHA-256 in hexadecimal digits. */
  readonly sha256?: string;
}

/** A list of a folder's files: a `files.json` beside them, `{"unet/config.json": {"size": 1024, "sha256": "..."}}`. */
export type RemoteFiles = Readonly<Record<string, RemoteFile>>;

export const FILES_LIST = 'files.json';

/** Parts of a model that have weights. */
const PARTS: readonly string[] = ['text_encoder', 'text_encoder_2', 'unet', 'vae'];

/** Where weights and settings lie in a diffusers folder; asked for one by one where there is no list. */
const KNOWN_FILES: readonly string[] = [
  'model_index.json',
  'scheduler/scheduler_config.json',
  'textual_inversion.json',
  ...PARTS.flatMap((part) => {
    const stem = part === 'unet' || part === 'vae' ? 'diffusion_pytorch_model' : 'model';
    const [plain, half] = [`${stem}.safetensors`, `${stem}.fp16.safetensors`];
    const indices = [`${plain}.index.json`, `${half}.index.json`, `${plain}.index.fp16.json`];
    return ['config.json', plain, half, ...indices].map((file) => `${part}/${file}`);
  }),
  ...['tokenizer', 'tokenizer_2'].flatMap((part) =>
    ['tokenizer.json', 'vocab.json', 'merges.txt', 'tokenizer_config.json', 'special_tokens_map.json'].map(
      (file) => `${part}/${file}`,
    ),
  ),
];

/** Finds out which files a folder at an address has, and how long they are. @throws DOWNLOAD_FAILED */
export async function listRemote(folder: string, signal?: AbortSignal): Promise<RemoteFiles> {
  const listed = await headOf(address(folder, FILES_LIST), signal);
  if (listed.size !== undefined) return readList(address(folder, FILES_LIST), signal);
  const index = address(folder, 'model_index.json');
  const first = await headOf(index, signal);
  if (first.size === undefined) throw failed(index, 'the model_index.json of a model', first.found);
  // In the order of the names, not of the answers: a list that is the same twice is a download that can go on.
  const heads = await Promise.all(
    KNOWN_FILES.map(async (path) => [path, await headOf(address(folder, path), signal)] as const),
  );
  return Object.fromEntries(heads.flatMap(([path, { size }]) => (size === undefined ? [] : [[path, { size }]])));
}

/**
 * Of a folder's files, those that a model needs: one set of weights for each part, with the shards that its index names.
 * @throws MODEL_MISSING_FILE where a part has weights, but none of this variant; DOWNLOAD_FAILED
 */
export async function withoutOtherVariants(
  folder: string,
  files: RemoteFiles,
  variant: string | undefined,
  signal?: AbortSignal,
): Promise<RemoteFiles> {
  const tree = remoteTree(folder, files, signal);
  const isWeights = (path: string) =>
    PARTS.includes(path.slice(0, path.indexOf('/'))) && /\.safetensors(\.index(\.\w+)?\.json)?$/.test(path);
  const parts = PARTS.filter((part) =>
    Object.keys(files).some((path) => path.startsWith(`${part}/`) && isWeights(path)),
  );
  const chosen = await Promise.all(parts.map((part) => chooseWeights(tree, part, variant)));
  const weights = new Set(chosen.flatMap(({ listed, files }) => [listed, ...files]));
  const kept = Object.entries(files).filter(([path]) => !isWeights(path) || weights.has(path));
  const unlisted = [...weights].filter((path) => files[path] === undefined);
  const shards = unlisted.map(async (path) => {
    const { size, found } = await headOf(address(folder, path), signal);
    if (size === undefined) throw failed(address(folder, path), 'weights that the index names', found);
    return [path, { size }] as const;
  });
  return Object.fromEntries([...kept, ...(await Promise.all(shards))]);
}

/** A folder at an address as core sees it; nothing is kept. @throws DOWNLOAD_FAILED */
export function remoteTree(folder: string, files: RemoteFiles, signal?: AbortSignal): FileTree {
  const opened = new Map<string, ByteSource>();
  return {
    name: folder,
    list: async () => Object.keys(files),
    open: async (path) => {
      const file = files[path];
      if (!file) return undefined;
      const source = opened.get(path) ?? remoteSource(address(folder, path), path, file.size, signal);
      opened.set(path, source);
      return source;
    },
  };
}

/** One file at an address, by ranges. @throws DOWNLOAD_FAILED */
export function remoteSource(url: string, name: string, size: number, signal?: AbortSignal): ByteSource {
  let whole: Promise<Uint8Array> | undefined;
  return {
    name,
    size,
    version: `${url} ${size}`,
    async read(offset, length) {
      if (offset + length > size) throw failed(url, `${length} bytes from ${offset}`, `a file of ${size}`);
      if (size > WHOLE_BYTES) return readRange(url, offset, length, signal);
      whole ??= readRange(url, 0, size, signal);
      whole.catch(() => (whole = undefined));
      return (await whole).slice(offset, offset + length);
    },
  };
}

/** Asks for a file from `offset` on. The answer's body is the rest of the file; of a server that sends no parts, all of it, with status 200. @throws DOWNLOAD_FAILED */
export async function fetchFrom(url: string, offset: number, size: number, signal?: AbortSignal): Promise<Response> {
  const response = await request(
    url,
    offset === 0 ? {} : { headers: { Range: `bytes=${offset}-${size - 1}` } },
    signal,
  );
  if (!response.ok) throw failed(url, 'the file', `status ${response.status}`);
  if (isPage(response, url)) throw failed(url, 'the file', 'an HTML page');
  return response;
}

/** Reads a range, and checks that all of it came. */
async function readRange(url: string, offset: number, length: number, signal?: AbortSignal): Promise<Uint8Array> {
  const response = await request(url, { headers: { Range: `bytes=${offset}-${offset + length - 1}` } }, signal);
  if (!response.ok) throw failed(url, 'the file', `status ${response.status}`);
  if (isPage(response, url)) throw failed(url, 'the file', 'an HTML page');
  if (response.status !== 206 && offset > 0)
    throw failed(
      url,
      'a part of a file',
      'a server that sends no parts',
      'Serve the model from a host that answers range requests.',
    );
  const bytes = await response.arrayBuffer().catch((cause: unknown) => {
    throw failed(url, `${length} bytes`, 'a connection that broke', undefined, cause);
  });
  if (bytes.byteLength < length)
    throw failed(url, `${length} bytes from ${offset}`, `${bytes.byteLength}: half a file`);
  return new Uint8Array(bytes, 0, length);
}

async function readList(url: string, signal?: AbortSignal): Promise<RemoteFiles> {
  const response = await fetchFrom(url, 0, 0, signal);
  const json: unknown = await response.json().catch((cause: unknown) => {
    throw failed(url, 'a list of files', 'text that does not parse', undefined, cause);
  });
  const files: Record<string, RemoteFile> = {};
  for (const [path, entry] of Object.entries(typeof json === 'object' && json !== null ? json : {})) {
    const { size, sha256 }: Record<string, unknown> = typeof entry === 'object' && entry !== null ? { ...entry } : {};
    // A path that climbs out of the folder is no file of this model.
    if (
      !/^[\w-][\w.-]*(\/[\w-][\w.-]*)*$/.test(path) ||
      typeof size !== 'number' ||
      !Number.isSafeInteger(size) ||
      size < 0
    )
      throw failed(url, 'paths with their sizes', JSON.stringify({ [path]: entry }).slice(0, 120));
    files[path] = { size, ...(typeof sha256 === 'string' ? { sha256 } : {}) };
  }
  return files;
}

/** Length of a file at an address; why there is none otherwise. */
async function headOf(url: string, signal?: AbortSignal): Promise<{ size?: number; found: string }> {
  const response = await request(url, { method: 'HEAD' }, signal);
  if (response.status === 404 || response.status === 403 || response.status === 410)
    return { found: `status ${response.status}` };
  if (!response.ok) throw failed(url, 'the file', `status ${response.status}`);
  if (isPage(response, url)) return { found: 'an HTML page' };
  const size = Number(response.headers.get('content-length') ?? Number.NaN);
  return Number.isFinite(size) && !response.headers.get('content-encoding')
    ? { size, found: 'the file' }
    : { size: (await (await request(url, {}, signal)).blob()).size, found: 'the file' };
}

async function request(url: string, init: RequestInit, signal?: AbortSignal): Promise<Response> {
  try {
    return await fetch(url, { ...init, signal });
  } catch (cause) {
    if (signal?.aborted) throw new TextualInversionError('ABORTED', { where: url, found: 'an abort signal', cause });
    throw failed(
      url,
      'an answer',
      'none',
      'Check the address and the connection, and that the host allows this page (CORS).',
      cause,
    );
  }
}

/** Hosts answer with a page where a file is missing. */
function isPage(response: Response, url: string): boolean {
  return (response.headers.get('content-type') ?? '').includes('text/html') && !url.endsWith('.html');
}

export function failed(
  url: string,
  expected: string,
  found: string,
  fix?: string,
  cause?: unknown,
): TextualInversionError {
  return new TextualInversionError('DOWNLOAD_FAILED', { where: url, expected, found, fix, cause });
}

export function address(folder: string, path: string): string {
  return `${folder.replace(/\/+$/, '')}/${path}`;
}
