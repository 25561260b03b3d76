import { unzipSync, zipSync } from 'fflate';
import { BufferReader, Parser } from 'pickleparser';
import { TextualInversionError } from '../errors.js';
import type { DType, HostTensor } from '../platform.js';
import { BYTES, toFloat32 } from './half.js';

/** What a PyTorch file may hold when we read it. */
export type TorchValue = string | number | boolean | null | HostTensor | TorchValue[] | Map<string, TorchValue>;

/** Files of concepts are kilobytes; nothing near this is one. */
const MAX_FILE_BYTES = 64 * 1024 * 1024;
/** The first of the five pickles of the format before PyTorch 1.6: protocol 2, the number 0x1950a86a20f9469cfc6c. */
const LEGACY_MAGIC = [0x80, 0x02, 0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, 0x2e];
const ZIP_MAGIC = [0x50, 0x4b, 0x03, 0x04];

const STORAGES: Readonly<Record<string, DType>> = {
  DoubleStorage: 'F64',
  FloatStorage: 'F32',
  HalfStorage: 'F16',
  BFloat16Storage: 'BF16',
  LongStorage: 'I64',
  IntStorage: 'I32',
  ShortStorage: 'I16',
  CharStorage: 'I8',
  ByteStorage: 'U8',
  BoolStorage: 'BOOL',
};

/** A run of numbers that tensors are views of. */
interface Storage {
  readonly key: string;
  readonly dtype: DType;
  readonly count: number;
}

/** A tensor whose numbers have not been fetched. */
class TensorView {
  constructor(
    readonly storage: Storage,
    readonly offset: number,
    readonly shape: readonly number[],
    readonly strides: readonly number[],
  ) {}
}

/**
 * Reads a file that `torch.save` wrote, of either format.
 *
 * Nothing in it is executed: a pickle may name the few constructors that tensors are made of, and these are ours; any other name is
 * refused. Nothing is allocated because a header claims it: archives must be stored uncompressed, as PyTorch's are, and a tensor
 * cannot have more numbers than its storage has in the file.
 * @throws CONCEPT_FORMAT (damaged), CONCEPT_UNSAFE (names something else)
 */
export function readTorchFile(bytes: Uint8Array, name: string): TorchValue {
  try {
    if (bytes.length > MAX_FILE_BYTES) throw new Error(`${bytes.length} bytes`);
    if (startsWith(bytes, ZIP_MAGIC)) return readZip(bytes, name);
    if (startsWith(bytes, LEGACY_MAGIC)) return readLegacy(bytes, name);
  } catch (cause) {
    if (cause instanceof TextualInversionError) throw cause;
    throw damaged(name, cause instanceof Error ? cause.message : String(cause), cause);
  }
  throw damaged(name, 'neither a zip archive nor the older format');
}

function readZip(bytes: Uint8Array, name: string): TorchValue {
  const entries = unzipSync(bytes, {
    filter: (entry) => {
      if (entry.compression === 0 && entry.size === entry.originalSize && entry.size <= bytes.length) return true;
      throw new Error(`a compressed entry ${entry.name}`);
    },
  });
  const pickle = Object.keys(entries).find((entry) => entry === 'data.pkl' || entry.endsWith('/data.pkl'));
  const data = pickle && entries[pickle];
  if (!pickle || !data) throw new Error('no data.pkl');
  const root = pickle.slice(0, -'data.pkl'.length);
  const order = entries[`${root}byteorder`];
  if (order && new TextDecoder().decode(order) !== 'little') throw new Error('numbers in big-endian order');
  const value = parser(name).read<unknown>(new BufferReader(data));
  return resolve(value, ({ key }) => entries[`${root}data/${key}`]);
}

function readLegacy(bytes: Uint8Array, name: string): TorchValue {
  // The parser cannot read the magic number, which is longer than 64 bits.
  const reader = new BufferReader(bytes.subarray(LEGACY_MAGIC.length));
  const pickles = parser(name);
  pickles.read(reader); // version of the format
  pickles.read(reader); // sizes of the machine's integers
  const value = pickles.read<unknown>(reader);
  const keys = pickles.read<unknown>(reader);
  if (!Array.isArray(keys)) throw new Error('no list of storages');
  const types = new Map<string, Storage>();
  collectStorages(value, types);
  const storages = new Map<string, Uint8Array>();
  let at = LEGACY_MAGIC.length + reader.position;
  for (const key of keys.map(String)) {
    const storage = types.get(key);
    const count = Number(new DataView(bytes.buffer, bytes.byteOffset + at, 8).getBigInt64(0, true));
    const length = count * BYTES[storage?.dtype ?? 'F32'];
    at += 8;
    if (!(length >= 0) || at + length > bytes.length) throw new Error(`a storage of ${count} numbers`);
    storages.set(key, bytes.subarray(at, at + length));
    at += length;
  }
  return resolve(value, ({ key }) => storages.get(key));
}

/** A parser that knows the constructors of tensors and nothing else. */
function parser(name: string): Parser {
  const known: Record<string, unknown> = {
    'torch._utils._rebuild_tensor_v2': (storage: unknown, offset: unknown, shape: unknown, strides: unknown) => {
      if (
        isStorage(storage) &&
        isCount(offset) &&
        isCounts(shape) &&
        isCounts(strides) &&
        shape.length === strides.length
      )
        return new TensorView(storage, offset, [...shape], [...strides]);
      throw new Error('a tensor without a shape');
    },
    'torch._utils._rebuild_parameter': (data: unknown) => data,
    'collections.OrderedDict': (items: unknown) => new Map(Array.isArray(items) ? (items as [string, unknown][]) : []),
    'torch.nn.modules.container.ParameterDict': class ParameterDict extends Map<string, unknown> {
      __setstate__(state: unknown): void {
        const parameters = state instanceof Map ? state.get('_parameters') : undefined;
        if (parameters instanceof Map) for (const [key, value] of parameters) this.set(String(key), value);
      }
    },
    '__builtin__.set': (items: unknown) => items ?? [],
    'builtins.set': (items: unknown) => items ?? [],
  };
  for (const [storage, dtype] of Object.entries(STORAGES)) known[`torch.${storage}`] = Object.freeze({ dtype });
  return new Parser({
    unpicklingTypeOfDictionary: 'Map',
    nameResolver: {
      resolve: (module, attribute) => {
        const path = `${module}.${attribute}`;
        if (Object.hasOwn(known, path)) return known[path] as (...args: unknown[]) => unknown;
        throw new TextualInversionError('CONCEPT_UNSAFE', {
          where: name,
          expected: 'tensors and plain values',
          found: `a call of ${path}`,
          fix: 'Nothing was run. A file of a concept has no need of it: do not trust this one.',
          details: { name: path },
        });
      },
    },
    persistentResolver: {
      resolve: (pid: unknown): Storage => {
        const [kind, type, key, , count] = Array.isArray(pid) ? (pid as unknown[]) : [];
        const dtype = typeof type === 'object' && type !== null && 'dtype' in type ? type.dtype : undefined;
        if (kind !== 'storage' || typeof dtype !== 'string' || !isCount(count))
          throw new Error('an unknown kind of storage');
        return { key: String(key), dtype: dtype as DType, count };
      },
    },
  });
}

function collectStorages(value: unknown, found: Map<string, Storage>): void {
  if (value instanceof TensorView) found.set(value.storage.key, value.storage);
  else if (value instanceof Map) for (const entry of value.values()) collectStorages(entry, found);
  else if (Array.isArray(value)) for (const entry of value) collectStorages(entry, found);
}

/** Fetches the numbers of every tensor. */
function resolve(value: unknown, bytesOf: (storage: Storage) => Uint8Array | undefined, depth = 0): TorchValue {
  if (depth > 32) throw new Error('values nested too deeply');
  if (value instanceof TensorView) return gather(value, bytesOf(value.storage));
  if (value instanceof Map) {
    return new Map([...value].map(([key, entry]) => [String(key), resolve(entry, bytesOf, depth + 1)]));
  }
  if (Array.isArray(value)) return value.map((entry) => resolve(entry, bytesOf, depth + 1));
  if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') return value;
  return typeof value === 'bigint' ? Number(value) : null;
}

function gather({ storage, offset, shape, strides }: TensorView, bytes: Uint8Array | undefined): HostTensor {
  const width = BYTES[storage.dtype];
  const held = Math.floor((bytes?.length ?? 0) / width);
  const count = shape.reduce((product, size) => product * size, 1);
  const last = shape.reduce((sum, size, axis) => sum + (size - 1) * (strides[axis] ?? 0), offset);
  if (!bytes || count > held || (count > 0 && last >= held)) {
    throw new Error(`a tensor of shape [${shape.join(', ')}] in a storage of ${held} numbers`);
  }
  const all = toFloat32(bytes.subarray(0, held * width), storage.dtype);
  const data = new Float32Array(count);
  for (let i = 0; i < count; i++) {
    let [rest, at] = [i, offset];
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      const size = shape[axis] ?? 1;
      at += (rest % size) * (strides[axis] ?? 0);
      rest = Math.floor(rest / size);
    }
    data[i] = all[at] ?? 0;
  }
  return { data, shape };
}

/** Writes what `torch.load(path, weights_only=True)` reads: a stored zip archive with a pickle of protocol 2. */
export function writeTorchFile(value: TorchValue): Uint8Array {
  const storages: Uint8Array[] = [];
  const pickle = [0x80, 2, ...pickled(value, storages), 0x2e];
  const files: Record<string, Uint8Array> = {
    'archive/data.pkl': Uint8Array.from(pickle),
    'archive/byteorder': new TextEncoder().encode('little'),
    'archive/version': new TextEncoder().encode('3\n'),
  };
  storages.forEach((bytes, key) => (files[`archive/data/${key}`] = bytes));
  // A fixed time, so that the same concept is the same file.
  return zipSync(files, { level: 0, mtime: '1980-01-01T00:00:00' });
}

/** Opcodes: see Python's pickletools. */
function pickled(value: TorchValue, storages: Uint8Array[]): number[] {
  if (value === null) return [0x4e];
  if (typeof value === 'boolean') return [value ? 0x88 : 0x89];
  if (typeof value === 'string') return pickledString(value);
  if (typeof value === 'number') return pickledNumber(value);
  if (Array.isArray(value)) return [0x5d, 0x28, ...value.flatMap((entry) => pickled(entry, storages)), 0x65];
  if (value instanceof Map) {
    const items = [...value].flatMap(([key, entry]) => [...pickledString(key), ...pickled(entry, storages)]);
    return [0x7d, 0x28, ...items, 0x75];
  }
  return pickledTensor(value, storages);
}

function pickledTensor({ data, shape }: HostTensor, storages: Uint8Array[]): number[] {
  const key = String(storages.length);
  storages.push(new Uint8Array(data.slice().buffer));
  const numbers = (values: readonly number[]) => [0x28, ...values.flatMap(pickledNumber), 0x74];
  const strides = shape.map((_, axis) => shape.slice(axis + 1).reduce((product, size) => product * size, 1));
  const place = [...pickledString(key), ...pickledString('cpu'), ...pickledNumber(data.length)];
  const storage = [0x28, ...pickledString('storage'), ...global('torch', 'FloatStorage'), ...place, 0x74, 0x51];
  const hooks = [...global('collections', 'OrderedDict'), 0x29, 0x52];
  const view = [...storage, ...pickledNumber(0), ...numbers(shape), ...numbers(strides), 0x89, ...hooks];
  return [...global('torch._utils', '_rebuild_tensor_v2'), 0x28, ...view, 0x74, 0x52];
}

function global(module: string, name: string): number[] {
  return [0x63, ...new TextEncoder().encode(`${module}\n${name}\n`)];
}

function pickledString(text: string): number[] {
  const bytes = new TextEncoder().encode(text);
  return [0x58, ...littleEndian(bytes.length), ...bytes];
}

function pickledNumber(value: number): number[] {
  if (Number.isInteger(value) && Math.abs(value) < 2 ** 31) return [0x4a, ...littleEndian(value)];
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setFloat64(0, value);
  return [0x47, ...bytes];
}

function littleEndian(value: number): number[] {
  return [value & 255, (value >> 8) & 255, (value >> 16) & 255, (value >> 24) & 255];
}

function startsWith(bytes: Uint8Array, magic: readonly number[]): boolean {
  return magic.every((byte, i) => bytes[i] === byte);
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function isCounts(value: unknown): value is number[] {
  return Array.isArray(value) && value.every(isCount);
}

function isStorage(value: unknown): value is Storage {
  return typeof value === 'object' && value !== null && 'key' in value && 'dtype' in value && 'count' in value;
}

function damaged(name: string, found: string, cause?: unknown): TextualInversionError {
  return new TextualInversionError('CONCEPT_FORMAT', { where: name, expected: 'a whole PyTorch file', found, cause });
}
