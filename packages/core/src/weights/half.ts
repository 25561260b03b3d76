import type { DType } from '../platform.js';

/** Bytes of one element. */
export const BYTES: Readonly<Record<DType, number>> = {
  F64: 8,
  F32: 4,
  F16: 2,
  BF16: 2,
  I64: 8,
  I32: 4,
  I16: 2,
  I8: 1,
  U8: 1,
  BOOL: 1,
};

/** Little-endian numbers as float32. @param bytes - Any alignment; the length must fit `dtype`. */
export function toFloat32(bytes: Uint8Array, dtype: DType): Float32Array {
  const count = bytes.byteLength / BYTES[dtype];
  // A copy starts at offset 0 of its buffer, which every typed array may look at.
  if (dtype === 'F32') return new Float32Array(bytes.slice().buffer);
  const { buffer, byteOffset } = bytes.byteOffset % 8 === 0 ? bytes : bytes.slice();
  switch (dtype) {
    case 'F16':
      return halvesToFloat(new Uint16Array(buffer, byteOffset, count));
    case 'BF16':
      return bfloatsToFloat(new Uint16Array(buffer, byteOffset, count));
    case 'F64':
      return new Float32Array(new Float64Array(buffer, byteOffset, count));
    case 'I64':
      return Float32Array.from(new BigInt64Array(buffer, byteOffset, count), Number);
    case 'I32':
      return new Float32Array(new Int32Array(buffer, byteOffset, count));
    case 'I16':
      return new Float32Array(new Int16Array(buffer, byteOffset, count));
    case 'I8':
      return new Float32Array(new Int8Array(buffer, byteOffset, count));
    case 'U8':
    case 'BOOL':
      return new Float32Array(new Uint8Array(buffer, byteOffset, count));
  }
}

/**
 * Every float16 as a float32, made once. A checkpoint has a thousand million of them, so plain loops matter here: `from` with
 * a function took twelve times as long.
 */
let halves: Float32Array | undefined;

function halvesToFloat(bits: Uint16Array): Float32Array {
  halves ??= Float32Array.from({ length: 65536 }, (_, half) => {
    const sign = half & 0x8000 ? -1 : 1;
    const exponent = (half >> 10) & 0x1f;
    const fraction = half & 0x3ff;
    if (exponent === 0) return sign * fraction * 2 ** -24;
    if (exponent === 31) return fraction === 0 ? sign * Infinity : Number.NaN;
    return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
  });
  const table = halves;
  const out = new Float32Array(bits.length);
  for (let i = 0; i < bits.length; i++) out[i] = table[bits[i] ?? 0] ?? 0;
  return out;
}

/** A bfloat16 is the upper half of a float32. */
function bfloatsToFloat(bits: Uint16Array): Float32Array {
  const words = new Uint32Array(bits.length);
  for (let i = 0; i < bits.length; i++) words[i] = (bits[i] ?? 0) << 16;
  return new Float32Array(words.buffer);
}

/** The nearest float16 to each number, ties to even; what is too large becomes infinity. */
export function toFloat16(values: Float32Array): Uint16Array {
  const words = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const out = new Uint16Array(values.length);
  for (let i = 0; i < values.length; i++) out[i] = toHalf(values[i] ?? 0, words[i] ?? 0);
  return out;
}

/** @param bits - Of `value` as a float32. */
function toHalf(value: number, bits: number): number {
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = Math.abs(value);
  if (Number.isNaN(value)) return sign | 0x7e00;
  if (magnitude >= 65520) return sign | 0x7c00;
  if (magnitude < 2 ** -14) return sign | roundHalfEven(magnitude * 2 ** 24);
  const rounded = bits + 0xfff + ((bits >>> 13) & 1); // round the 13 bits that go, ties to even
  return sign | ((((rounded >>> 23) & 0xff) - 112) << 10) | ((rounded >>> 13) & 0x3ff);
}

function roundHalfEven(value: number): number {
  const floor = Math.floor(value);
  const rest = value - floor;
  return floor + (rest > 0.5 || (rest === 0.5 && floor % 2 === 1) ? 1 : 0);
}
