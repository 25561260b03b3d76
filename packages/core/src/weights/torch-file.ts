import { unzipSync } from 'fflate';
import { TextualInversionError } from '../errors.js';
import type { HostTensor } from '../platform.js';
import { BYTES, toFloat32 } from './half.js';
import { type Storage, TensorPickles, TensorView } from './torch-pickle.js';

/** What a PyTorch file may hold when we read it. */
export type TorchValue = string | number | boolean | null | HostTensor | TorchValue[] | Map<string, TorchValue>;

/** What reading a file may cost, whatever it claims. Concepts are kilobytes. */
const MAX_FILE_BYTES = 16 * 1024 * 1024;
const MAX_ENTRIES = 1024;
const MAX_NUMBERS = 4 * 1024 * 1024;
const MAX_VALUES = 10_000;
const MAX_DEPTH = 32;

/** The first of the five pickles of the format before PyTorch 1.6: protocol 2, the number 0x1950a86a20f9469cfc6c. */
const LEGACY_MAGIC = [0x80, 0x02, 0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, 0x2e];
const ZIP_MAGIC = [0x50, 0x4b, 0x03, 0x04];

/**
 * Reads a file that `torch.save` wrote, of either format.
 *
 * Nothing in it is executed (see `TensorPickles`), and nothing is allocated because a header claims it: archives must be stored
 * uncompressed, as PyTorch's are, and a tensor cannot have more numbers than its storage has in the file.
 * @throws CONCEPT_FORMAT (damaged), CONCEPT_UNSAFE (names something that is no tensor)
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
  throw damaged(name, 'something else', undefined, 'a safetensors or PyTorch file');
}

function readZip(bytes: Uint8Array, name: string): TorchValue {
  let [total, count] = [0, 0];
  const entries = unzipSync(bytes, {
    filter: (entry) => {
      if (entry.compression !== 0 || entry.size !== entry.originalSize)
        throw new Error(`a compressed entry ${entry.name}`);
      total += entry.size; // entries may lie on top of each other
      if (total > bytes.length || ++count > MAX_ENTRIES) throw new Error('entries larger than the archive');
      return true;
    },
  });
  const pickle = Object.keys(entries).find((entry) => entry === 'data.pkl' || entry.endsWith('/data.pkl'));
  const data = pickle && entries[pickle];
  if (!pickle || !data) throw new Error('no data.pkl');
  const root = pickle.slice(0, -'data.pkl'.length);
  const order = entries[`${root}byteorder`];
  if (order && new TextDecoder().decode(order) !== 'little') throw new Error('numbers in big-endian order');
  return new Resolver(({ key }) => entries[`${root}data/${key}`]).value(new TensorPickles(data, name).next());
}

function readLegacy(bytes: Uint8Array, name: string): TorchValue {
  // The parser cannot read the magic number, which is longer than 64 bits.
  const pickles = new TensorPickles(bytes.subarray(LEGACY_MAGIC.length), name);
  pickles.next(); // version of the format
  const system = pickles.next(); // sizes of the machine's integers
  if (system instanceof Map && system.get('little_endian') === false) throw new Error('numbers in big-endian order');
  const value = pickles.next();
  const keys = pickles.next();
  if (!Array.isArray(keys)) throw new Error('no list of storages');
  const storages = new Map<string, Uint8Array>();
  let at = LEGACY_MAGIC.length + pickles.position;
  for (const key of keys.map(word)) {
    const storage = pickles.storages.get(key);
    if (!storage) throw new Error(`a storage ${key} that no tensor has`);
    const count = Number(new DataView(bytes.buffer, bytes.byteOffset + at, 8).getBigInt64(0, true));
    const length = count * BYTES[storage.dtype];
    at += 8;
    if (!(length >= 0) || at + length > bytes.length) throw new Error(`a storage of ${count} numbers`);
    storages.set(key, bytes.subarray(at, at + length));
    at += length;
  }
  return new Resolver(({ key }) => storages.get(key)).value(value);
}

/** Turns what a pickle holds into plain values and fetches the numbers of its tensors, within bounds. */
class Resolver {
  private values = 0;
  private numbers = 0;

  constructor(private readonly bytesOf: (storage: Storage) => Uint8Array | undefined) {}

  value(value: unknown, depth = 0): TorchValue {
    // Few bytes can say the same list in a list a thousand million times.
    if (depth > MAX_DEPTH || ++this.values > MAX_VALUES) throw new Error('more values than a concept has');
    if (value instanceof TensorView) return this.tensor(value);
    if (value instanceof Map) {
      return new Map([...value].map(([key, entry]) => [word(key), this.value(entry, depth + 1)]));
    }
    if (Array.isArray(value)) return value.map((entry) => this.value(entry, depth + 1));
    if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') return value;
    return null;
  }

  private tensor({ storage, offset, shape, strides }: TensorView): HostTensor {
    const bytes = this.bytesOf(storage) ?? new Uint8Array();
    const width = BYTES[storage.dtype];
    const held = Math.floor(bytes.length / width);
    const count = shape.reduce((product, size) => product * size, 1);
    const end = count === 0 ? offset : shape.reduce((sum, size, i) => sum + (size - 1) * (strides[i] ?? 0), offset + 1);
    if (count > held || end > held) {
      throw new Error(`a tensor of shape [${shape.join(', ')}] in a storage of ${held} numbers`);
    }
    this.numbers += count + (end - offset);
    if (this.numbers > 2 * MAX_NUMBERS) throw new Error('more numbers than a concept has');
    const spanned = toFloat32(bytes.subarray(offset * width, end * width), storage.dtype);
    const data = new Float32Array(count);
    for (let i = 0; i < count; i++) {
      let [rest, at] = [i, 0];
      for (let axis = shape.length - 1; axis >= 0; axis--) {
        const size = shape[axis] ?? 1;
        at += (rest % size) * (strides[axis] ?? 0);
        rest = Math.floor(rest / size);
      }
      data[i] = spanned[at] ?? 0;
    }
    return { data, shape };
  }
}

/** A key as text. Of a list that holds lists, text could be without end. */
function word(key: unknown): string {
  if (typeof key !== 'string' && typeof key !== 'number') throw new Error('a key that is no word');
  return String(key);
}

function startsWith(bytes: Uint8Array, magic: readonly number[]): boolean {
  return magic.every((byte, i) => bytes[i] === byte);
}

function damaged(
  name: string,
  found: string,
  cause?: unknown,
  expected = 'a whole PyTorch file',
): TextualInversionError {
  return new TextualInversionError('CONCEPT_FORMAT', { where: name, expected, found, cause });
}
