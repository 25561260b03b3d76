import { TextualInversionError } from '../errors.js';
import type { ByteSource, DType, HostTensor, TensorRef } from '../platform.js';
import { BYTES } from './half.js';

/** What safetensors' own library accepts as a header. */
const MAX_HEADER_BYTES = 100_000_000;
const PREFIX_BYTES = 8;
const METADATA = '__metadata__';

/** The header of a safetensors file. */
export interface SafetensorsFile {
  /** Where each tensor is, by its name. */
  readonly tensors: ReadonlyMap<string, TensorRef>;
  /** What `__metadata__` says; empty without one. */
  readonly metadata: Readonly<Record<string, string>>;
}

/**
 * Reads the header of a safetensors file; the numbers stay where they are.
 *
 * Nothing the header says is believed before it was compared with the file's size, so a lie costs an error and no memory.
 * @throws WEIGHT_FORMAT
 * @see https://github.com/huggingface/safetensors, "Format"
 */
export async function readSafetensors(source: ByteSource): Promise<SafetensorsFile> {
  const wrong = (expected: string, found: string, cause?: unknown) =>
    new TextualInversionError('WEIGHT_FORMAT', {
      where: source.name,
      expected,
      found,
      fix: 'The file is damaged or no safetensors file; download it again.',
      cause,
    });
  if (source.size < PREFIX_BYTES) throw wrong('a safetensors file', `${source.size} bytes`);
  const prefix = await source.read(0, PREFIX_BYTES);
  const length = Number(new DataView(prefix.buffer, prefix.byteOffset, PREFIX_BYTES).getBigUint64(0, true));
  if (length > MAX_HEADER_BYTES || PREFIX_BYTES + length > source.size)
    throw wrong(`a header that fits into ${source.size} bytes`, `one said to have ${length}`);
  const header = parseObject(await source.read(PREFIX_BYTES, length));
  if (!header) throw wrong('a header in JSON', 'something else');

  const metadata: Record<string, string> = {};
  const tensors = new Map<string, TensorRef>();
  const start = PREFIX_BYTES + length;
  for (const [name, entry] of Object.entries(header)) {
    if (name === METADATA) {
      for (const [key, value] of Object.entries(asObject(entry) ?? {})) metadata[key] = String(value);
      continue;
    }
    const { dtype, shape, data_offsets: offsets } = asObject(entry) ?? {};
    if (!isDType(dtype))
      throw wrong(`an element type of ${name} among ${Object.keys(BYTES).join(', ')}`, String(dtype));
    if (!isSizes(shape) || !isSizes(offsets) || offsets.length !== 2)
      throw wrong(`a shape and two offsets of ${name}`, JSON.stringify(entry).slice(0, 200));
    const [from = 0, to = 0] = offsets;
    const bytes = shape.reduce((product, size) => product * size, BYTES[dtype]);
    if (to < from || start + to > source.size || to - from !== bytes)
      throw wrong(`${name} to be ${bytes} bytes of the file`, `bytes ${from} to ${to} of ${source.size - start}`);
    tensors.set(name, { name, dtype, shape, source, offset: start + from, length: bytes });
  }
  // The format leaves no byte unused: a hole hides something, a shorter end means that the file was cut.
  let end = start;
  for (const { name, offset, length } of [...tensors.values()].toSorted(
    (a, b) => a.offset - b.offset || a.length - b.length,
  )) {
    if (offset !== end) throw wrong(`${name} to begin at byte ${end}`, `byte ${offset}`);
    end += length;
  }
  if (end !== source.size) throw wrong(`a file of ${end} bytes`, `${source.size}`);
  return { tensors, metadata };
}

/**
 * Writes float32 tensors, sorted by name, with the numbers aligned to 8 bytes. The same tensors give the same bytes.
 * @throws OPTION_INVALID when a tensor is called `__metadata__`
 */
export function writeSafetensors(
  tensors: Readonly<Record<string, HostTensor>> | ReadonlyMap<string, HostTensor>,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array {
  const given = tensors instanceof Map ? [...tensors] : Object.entries(tensors);
  const entries = given.toSorted(([a], [b]) => (a < b ? -1 : 1));
  const header: [string, unknown][] = Object.keys(metadata).length > 0 ? [[METADATA, metadata]] : [];
  let offset = 0;
  for (const [name, { data, shape }] of entries) {
    if (name === METADATA)
      throw new TextualInversionError('OPTION_INVALID', {
        where: 'the name of a tensor',
        expected: 'any other',
        found: `${METADATA}, which safetensors keeps for itself`,
      });
    header.push([name, { dtype: 'F32', shape, data_offsets: [offset, offset + data.byteLength] }]);
    offset += data.byteLength;
  }
  const text = new TextEncoder().encode(JSON.stringify(Object.fromEntries(header)));
  const headerBytes = Math.ceil(text.length / 8) * 8;
  const bytes = new Uint8Array(PREFIX_BYTES + headerBytes + offset);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(headerBytes), true);
  bytes.fill(0x20, PREFIX_BYTES, PREFIX_BYTES + headerBytes);
  bytes.set(text, PREFIX_BYTES);
  let at = PREFIX_BYTES + headerBytes;
  for (const [, { data }] of entries) {
    bytes.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), at);
    at += data.byteLength;
  }
  return bytes;
}

function parseObject(bytes: Uint8Array): Record<string, unknown> | undefined {
  try {
    return asObject(JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)));
  } catch {
    return undefined;
  }
}

function asObject(value: unknown): Record<string, unknown> | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? Object.fromEntries(Object.entries(value))
    : undefined;
}

function isDType(value: unknown): value is DType {
  return typeof value === 'string' && Object.hasOwn(BYTES, value);
}

function isSizes(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((size) => Number.isSafeInteger(size) && size >= 0);
}
