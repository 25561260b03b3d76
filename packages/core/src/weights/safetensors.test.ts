import { describe, expect, it } from 'vitest';
import { memoryFile } from '../../../../tests/support/memory.js';
import { toFloat32 } from './half.js';
import { readSafetensors, writeSafetensors } from './safetensors.js';

/** A file with any header, followed by `data` bytes. */
function fileOf(header: unknown, data: number, length?: number): Uint8Array {
  const text = new TextEncoder().encode(typeof header === 'string' ? header : JSON.stringify(header));
  const bytes = new Uint8Array(8 + text.length + data);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(length ?? text.length), true);
  bytes.set(text, 8);
  return bytes;
}

const a = { dtype: 'F32', shape: [2, 2], data_offsets: [0, 16] };
const b = { dtype: 'F16', shape: [2], data_offsets: [16, 20] };

describe('readSafetensors', () => {
  it('reads names, types, shapes and places, and no numbers', async () => {
    const file = memoryFile('a.safetensors', fileOf({ __metadata__: { format: 'pt' }, b, a }, 20));
    const { tensors, metadata } = await readSafetensors(file);
    expect(metadata).toEqual({ format: 'pt' });
    expect([...tensors.keys()]).toEqual(['b', 'a']);
    expect(tensors.get('b')).toMatchObject({ dtype: 'F16', shape: [2], offset: file.size - 4, length: 4 });
    expect(file.reads.bytes).toBe(file.size - 20);
  });

  it('takes scalars and empty tensors', async () => {
    const scalar = { dtype: 'F32', shape: [], data_offsets: [0, 4] };
    const empty = { dtype: 'F32', shape: [0, 7], data_offsets: [0, 0] };
    expect((await readSafetensors(memoryFile('a', fileOf({ scalar, empty }, 4)))).tensors.size).toBe(2);
  });

  it.each<[string, Uint8Array]>([
    ['nothing', new Uint8Array()],
    ['too little for a length', new Uint8Array(7)],
    ['a header longer than the file', fileOf({ a }, 16, 2 ** 40)],
    ['a header longer than any number', fileOf({ a }, 16).fill(0xff, 0, 8)],
    ['a header that is no JSON', fileOf('{"a":', 16)],
    ['a header that is a list', fileOf([a], 16)],
    ['a header that is no text', fileOf({ a }, 16).fill(0xff, 9, 20)],
    ['an unknown type', fileOf({ a: { ...a, dtype: 'F8_E4M3' } }, 16)],
    ['a type that every object has', fileOf({ a: { ...a, dtype: 'toString' } }, 16)],
    ['a shape of fractions', fileOf({ a: { ...a, shape: [1.5, 2] } }, 16)],
    ['a negative shape', fileOf({ a: { ...a, shape: [-2, -2] } }, 16)],
    ['a shape larger than its bytes', fileOf({ a: { ...a, shape: [2 ** 40, 2 ** 40] } }, 16)],
    ['a shape without end', fileOf({ a: { ...a, shape: Array(40).fill(2 ** 53 - 1) } }, 16)],
    ['bytes beyond the end', fileOf({ a }, 15)],
    ['bytes after the end', fileOf({ a }, 17)],
    ['bytes backwards', fileOf({ a: { ...a, data_offsets: [16, 0] } }, 16)],
    ['three offsets', fileOf({ a: { ...a, data_offsets: [0, 8, 16] } }, 16)],
    ['tensors on top of each other', fileOf({ a, b: { ...b, data_offsets: [12, 16] } }, 20)],
    ['the same bytes twice', fileOf({ a, c: a }, 16)],
    ['a hole', fileOf({ a, b: { ...b, data_offsets: [18, 22] } }, 22)],
    ['a tensor that is null', fileOf({ a: null }, 16)],
  ])('refuses %s', async (_, bytes) => {
    await expect(readSafetensors(memoryFile('a.safetensors', bytes))).rejects.toMatchObject({ code: 'WEIGHT_FORMAT' });
  });
});

describe('writeSafetensors', () => {
  it('writes what it reads, aligned and always the same', async () => {
    const tensors = new Map([
      ['z', { data: Float32Array.of(1, 2, 3), shape: [3] }],
      ['<ü>', { data: Float32Array.of(4), shape: [1, 1] }],
    ]);
    const bytes = writeSafetensors(tensors, { token: '<ü>' });
    const read = await readSafetensors(memoryFile('a', bytes));
    expect(read.metadata).toEqual({ token: '<ü>' });
    for (const [name, { data, shape }] of tensors) {
      const ref = read.tensors.get(name)!;
      expect(ref.shape).toEqual(shape);
      expect(toFloat32(bytes.subarray(ref.offset, ref.offset + ref.length), ref.dtype)).toEqual(data);
    }
    expect(Math.min(...[...read.tensors.values()].map(({ offset }) => offset)) % 8).toBe(0);
    expect(writeSafetensors(new Map([...tensors].toReversed()), { token: '<ü>' })).toEqual(bytes);
  });

  it('keeps names that JavaScript or the format use themselves apart', async () => {
    const one = { data: Float32Array.of(1), shape: [1] };
    const read = await readSafetensors(memoryFile('a', writeSafetensors(new Map([['__proto__', one]]))));
    expect([...read.tensors.keys()]).toEqual(['__proto__']);
    expect(() => writeSafetensors({ __metadata__: one })).toThrow(expect.objectContaining({ code: 'OPTION_INVALID' }));
  });
});
