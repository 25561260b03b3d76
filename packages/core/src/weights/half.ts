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
  const aligned = bytes.byteOffset % 8 === 0 ? bytes : bytes.slice();
  const { buffer, byteOffset } = aligned;
  switch (dtype) {
    case 'F32':
      return new Float32Array(buffer, byteOffset, count).slice();
    case 'F16':
      return Float32Array.from(new Uint16Array(buffer, byteOffset, count), halfToFloat);
    case 'BF16':
      return bfloatToFloat(new Uint16Array(buffer, byteOffset, count));
    case 'F64':
      return Float32Array.from(new Float64Array(buffer, byteOffset, count));
    case 'I64':
      return Float32Array.from(new BigInt64Array(buffer, byteOffset, count), Number);
    case 'I32':
      return Float32Array.from(new Int32Array(buffer, byteOffset, count));
    case 'I16':
      return Float32Array.from(new Int16Array(buffer, byteOffset, count));
    case 'I8':
      return Float32Array.from(new Int8Array(buffer, byteOffset, count));
    case 'U8':
    case 'BOOL':
      return Float32Array.from(aligned);
  }
}

const view = new DataView(new ArrayBuffer(4));

/**
 * Every float16 as a float32, made once: a checkpoint has a thousand million of them, and a look-up is ten times faster than
 * taking each one apart.
 */
let halves: Float32Array | undefined;

function halfToFloat(bits: number): number {
  halves ??= Float32Array.from({ length: 65536 }, (_, half) => {
    const sign = half & 0x8000 ? -1 : 1;
    const exponent = (half >> 10) & 0x1f;
    const fraction = half & 0x3ff;
    if (exponent === 0) return sign * fraction * 2 ** -24;
    if (exponent === 31) return fraction === 0 ? sign * Infinity : Number.NaN;
    return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
  });
  return halves[bits] ?? Number.NaN;
}

function bfloatToFloat(values: Uint16Array): Float32Array {
  const words = Uint32Array.from(values, (bits) => (bits << 16) >>> 0);
  return new Float32Array(words.buffer);
}

/** The nearest float16 to each number, ties to even; what is too large becomes infinity. */
export function toFloat16(values: Float32Array): Uint16Array {
  return Uint16Array.from(values, (value) => {
    view.setFloat32(0, value);
    const bits = view.getUint32(0);
    const sign = (bits >>> 16) & 0x8000;
    const magnitude = Math.abs(value);
    if (Number.isNaN(value)) return sign | 0x7e00;
    if (magnitude >= 65520) return sign | 0x7c00;
    if (magnitude < 2 ** -14) return sign | roundHalfEven(magnitude * 2 ** 24);
    const rounded = bits + 0xfff + ((bits >>> 13) & 1); // round the 13 bits that go, ties to even
    return sign | ((((rounded >>> 23) & 0xff) - 112) << 10) | ((rounded >>> 13) & 0x3ff);
  });
}

function roundHalfEven(value: number): number {
  const floor = Math.floor(value);
  const rest = value - floor;
  return floor + (rest > 0.5 || (rest === 0.5 && floor % 2 === 1) ? 1 : 0);
}
