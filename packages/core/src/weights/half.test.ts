import { describe, expect, it } from 'vitest';
import { toFloat16, toFloat32 } from './half.js';

const bytesOf = (array: ArrayBufferView) => new Uint8Array(array.buffer, array.byteOffset, array.byteLength);

describe('toFloat32', () => {
  it('reads float16: normal, subnormal, zero, infinite', () => {
    const bits = Uint16Array.from([0x3c00, 0xc000, 0x3555, 0x0001, 0x03ff, 0x0400, 0x7bff, 0x8000, 0x7c00, 0xfc00]);
    const expected = [1, -2, 0.333251953125, 2 ** -24, 1023 * 2 ** -24, 2 ** -14, 65504, -0, Infinity, -Infinity];
    expect([...toFloat32(bytesOf(bits), 'F16')]).toEqual(expected);
    expect(toFloat32(bytesOf(Uint16Array.of(0x7e00)), 'F16')[0]).toBeNaN();
  });

  it('reads bfloat16', () => {
    const bits = Uint16Array.from([0x3f80, 0xc000, 0x0001, 0x7f80]);
    expect([...toFloat32(bytesOf(bits), 'BF16')]).toEqual([1, -2, Math.fround(2 ** -133), Infinity]);
  });

  it.each([
    ['F64', Float64Array.of(1.5, -2)],
    ['F32', Float32Array.of(1.5, -2)],
    ['I64', BigInt64Array.of(3n, -4n)],
    ['I32', Int32Array.of(3, -4)],
    ['I16', Int16Array.of(3, -4)],
    ['I8', Int8Array.of(3, -4)],
    ['U8', Uint8Array.of(3, 250)],
    ['BOOL', Uint8Array.of(0, 1)],
  ] as const)('reads %s at any alignment, without touching the bytes', (dtype, array) => {
    const odd = new Uint8Array(array.byteLength + 3);
    odd.set(bytesOf(array), 3);
    const numbers = toFloat32(odd.subarray(3), dtype);
    expect([...numbers]).toEqual(Array.from(array as Iterable<number | bigint>, Number));
    numbers.fill(9);
    expect(odd.subarray(3)).toEqual(bytesOf(array));
  });
});

describe('toFloat16', () => {
  it('is the inverse of reading for every float16', () => {
    const all = Uint16Array.from({ length: 65536 }, (_, bits) => bits).filter((bits) => (bits & 0x7c00) !== 0x7c00);
    expect(toFloat16(toFloat32(bytesOf(all), 'F16'))).toEqual(all);
  });

  it('rounds ties to even, and what is too large to infinity', () => {
    const values = Float32Array.of(1 + 2 ** -11, 1 + 3 * 2 ** -11, 65519, 65520, -1e9, 2 ** -25, 3 * 2 ** -25, 1e-10);
    expect([...toFloat16(values)]).toEqual([0x3c00, 0x3c02, 0x7bff, 0x7c00, 0xfc00, 0, 2, 0]);
    expect(toFloat16(Float32Array.of(Number.NaN))[0]).toBe(0x7e00);
  });
});
