/** The little that has to be known of a picture's file before a decoder sees it. */

const PNG = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];

/** Width and height as the header tells them; `undefined` for a format that is not known here. */
export function sizeOf(bytes: Uint8Array): { width: number; height: number } | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (startsWith(bytes, PNG) && bytes.length >= 24) return { width: view.getUint32(16), height: view.getUint32(20) };
  if (text(bytes, 0, 4) === 'GIF8' && bytes.length >= 10)
    return { width: view.getUint16(6, true), height: view.getUint16(8, true) };
  if (bytes[0] === 0xff && bytes[1] === 0xd8) return sizeOfJpeg(view) ?? { width: 0, height: 0 };
  if (text(bytes, 0, 4) === 'RIFF' && text(bytes, 8, 12) === 'WEBP') return sizeOfWebp(bytes, view);
  return undefined;
}

/** Whether a GIF, WebP or PNG has more than one frame. */
export function isAnimated(bytes: Uint8Array): boolean {
  if (text(bytes, 0, 4) === 'GIF8') return countGifFrames(bytes) > 1;
  if (text(bytes, 0, 4) === 'RIFF' && text(bytes, 12, 16) === 'VP8X') return ((bytes[20] ?? 0) & 2) !== 0;
  return startsWith(bytes, PNG) && text(bytes, 37, 41) === 'acTL';
}

/** Whether a PNG ends before its last chunk. Firefox would show what there is of it. */
export function isCut(bytes: Uint8Array): boolean {
  if (!startsWith(bytes, PNG)) return false;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = PNG.length; at + 12 <= bytes.length; at += 12 + view.getUint32(at))
    if (text(bytes, at + 4, at + 8) === 'IEND') return false;
  return true;
}

/** Walks the segments to the frame header (SOF0 to SOF15 without the tables among them). */
function sizeOfJpeg(view: DataView): { width: number; height: number } | undefined {
  let at = 2;
  while (at + 9 < view.byteLength) {
    if (view.getUint8(at) !== 0xff) return undefined;
    const marker = view.getUint8(at + 1);
    if (marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker))
      return { width: view.getUint16(at + 7), height: view.getUint16(at + 5) };
    at += marker === 0xff ? 1 : 2 + view.getUint16(at + 2);
  }
  return undefined;
}

function sizeOfWebp(bytes: Uint8Array, view: DataView): { width: number; height: number } | undefined {
  if (bytes.length < 30) return { width: 0, height: 0 };
  const kind = text(bytes, 12, 16);
  if (kind === 'VP8X') {
    const value = (at: number) => view.getUint16(at, true) + ((bytes[at + 2] ?? 0) << 16) + 1;
    return { width: value(24), height: value(27) };
  }
  if (kind === 'VP8L') {
    const bits = view.getUint32(21, true);
    return { width: (bits & 0x3fff) + 1, height: ((bits >>> 14) & 0x3fff) + 1 };
  }
  return { width: view.getUint16(26, true) & 0x3fff, height: view.getUint16(28, true) & 0x3fff };
}

/** Counts image descriptors up to two. */
function countGifFrames(bytes: Uint8Array): number {
  const tableBytes = (flags: number) => (flags & 0x80 ? 3 << ((flags & 7) + 1) : 0);
  let at = 13 + tableBytes(bytes[10] ?? 0);
  let frames = 0;
  const skipBlocks = () => {
    while (at < bytes.length && bytes[at] !== 0) at += (bytes[at] ?? 0) + 1;
    at++;
  };
  while (at < bytes.length && frames < 2) {
    const kind = bytes[at++];
    if (kind === 0x21) {
      at++;
      skipBlocks();
    } else if (kind === 0x2c) {
      frames++;
      at += 9 + tableBytes(bytes[at + 8] ?? 0) + 1;
      skipBlocks();
    } else break;
  }
  return frames;
}

function startsWith(bytes: Uint8Array, start: readonly number[]): boolean {
  return start.every((byte, i) => bytes[i] === byte);
}

function text(bytes: Uint8Array, from: number, to: number): string {
  return String.fromCharCode(...bytes.subarray(from, to));
}
