import { BYTES, type TensorRef, TextualInversionError, toFloat32 } from '@textual-inversion/core';

/** Bytes looked at together; a multiple of every element's size. */
const RUN = 2 ** 24;

/** Reads a stored tensor once to see that it holds numbers. @throws WEIGHT_NOT_FINITE */
export async function checkFinite(ref: TensorRef): Promise<void> {
  const { source, dtype, offset, length } = ref;
  for (let done = 0; done < length; done += RUN) {
    const bytes = await source.read(offset + done, Math.min(RUN, length - done));
    const at = firstBad(bytes, dtype);
    if (at === undefined) continue;
    throw new TextualInversionError('WEIGHT_NOT_FINITE', {
      where: `${source.name}: ${ref.name}`,
      expected: 'finite numbers',
      found: `one that is not, at ${done / BYTES[dtype] + at}`,
      fix: 'The file is damaged; download it again.',
    });
  }
}

/** All ones in the exponent mean infinity or not a number. */
const EXPONENT = { F32: 0x7f800000, F16: 0x7c00, BF16: 0x7f80 } as const;

function firstBad(bytes: Uint8Array, dtype: TensorRef['dtype']): number | undefined {
  if (dtype === 'F32' || dtype === 'F16' || dtype === 'BF16') {
    const aligned = bytes.byteOffset % 4 === 0 ? bytes : bytes.slice();
    const words =
      dtype === 'F32'
        ? new Uint32Array(aligned.buffer, aligned.byteOffset, aligned.byteLength / 4)
        : new Uint16Array(aligned.buffer, aligned.byteOffset, aligned.byteLength / 2);
    const mask = EXPONENT[dtype];
    for (let i = 0; i < words.length; i++) if (((words[i] ?? 0) & mask) === mask) return i;
    return undefined;
  }
  if (dtype !== 'F64') return undefined;
  const at = toFloat32(bytes, dtype).findIndex((value) => !Number.isFinite(value));
  return at < 0 ? undefined : at;
}
