import { zipSync } from 'fflate';
import type { HostTensor } from '../platform.js';
import { OP } from './pickle.js';
import type { TorchValue } from './torch-file.js';

/** Writes what `torch.load(path, weights_only=True)` reads: a stored zip archive with a pickle of protocol 2. The same value gives the same bytes. */
export function writeTorchFile(value: TorchValue): Uint8Array {
  const storages: Uint8Array[] = [];
  const pickle = [OP.protocol, 2, ...pickled(value, storages), OP.stop];
  const files: Record<string, Uint8Array> = {
    'archive/data.pkl': Uint8Array.from(pickle),
    'archive/byteorder': new TextEncoder().encode('little'),
    'archive/version': new TextEncoder().encode('3\n'),
  };
  storages.forEach((bytes, key) => (files[`archive/data/${key}`] = bytes));
  return zipSync(files, { level: 0, mtime: '1980-01-01T00:00:00' });
}

function pickled(value: TorchValue, storages: Uint8Array[]): number[] {
  if (value === null) return [OP.none];
  if (typeof value === 'boolean') return [value ? OP.true : OP.false];
  if (typeof value === 'string') return text(value);
  if (typeof value === 'number') return number(value);
  if (Array.isArray(value)) {
    return [OP.emptyList, OP.mark, ...value.flatMap((entry) => pickled(entry, storages)), OP.appends];
  }
  if (value instanceof Map) {
    const items = [...value].flatMap(([key, entry]) => [...text(key), ...pickled(entry, storages)]);
    return [OP.emptyMap, OP.mark, ...items, OP.setItems];
  }
  return tensor(value, storages);
}

/** `torch._utils._rebuild_tensor_v2(storage, offset, shape, strides, requires_grad, hooks)` */
function tensor({ data, shape }: HostTensor, storages: Uint8Array[]): number[] {
  const key = String(storages.length);
  storages.push(new Uint8Array(data.slice().buffer));
  const strides = shape.map((_, axis) => shape.slice(axis + 1).reduce((product, size) => product * size, 1));
  const numbers = tuple([
    ...text('storage'),
    ...global('torch', 'FloatStorage'),
    ...text(key),
    ...text('cpu'),
    ...number(data.length),
  ]);
  const hooks = [...global('collections', 'OrderedDict'), OP.emptyTuple, OP.call];
  const layout = [...number(0), ...tuple(shape.flatMap(number)), ...tuple(strides.flatMap(number)), OP.false];
  const view = tuple([...numbers, OP.persistent, ...layout, ...hooks]);
  return [...global('torch._utils', '_rebuild_tensor_v2'), ...view, OP.call];
}

function tuple(items: readonly number[]): number[] {
  return [OP.mark, ...items, OP.tuple];
}

function global(module: string, name: string): number[] {
  return [OP.global, ...new TextEncoder().encode(`${module}\n${name}\n`)];
}

function text(value: string): number[] {
  const bytes = new TextEncoder().encode(value);
  return [OP.text, ...littleEndian(bytes.length), ...bytes];
}

function number(value: number): number[] {
  if (Number.isInteger(value) && Math.abs(value) < 2 ** 31) return [OP.int, ...littleEndian(value)];
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setFloat64(0, value);
  return [OP.float, ...bytes];
}

function littleEndian(value: number): number[] {
  return [value & 255, (value >> 8) & 255, (value >> 16) & 255, (value >> 24) & 255];
}
