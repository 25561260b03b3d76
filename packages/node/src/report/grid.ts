import type { Picture } from '@textual-inversion/core';
import ndarray from 'ndarray';
import { enlarge } from '../pictures.js';

/** Pixels between pictures. */
const GAP = 8;
/** Sides below this are enlarged by whole factors, so that small pictures can be seen. */
const SHOWN_SIDE_PX = 192;

/**
 * Puts pictures into rows on a light ground; small ones are enlarged with hard edges.
 * @param rows - Pictures of one size; rows may differ in length.
 * @returns `[H, W, 3]`
 */
export function grid(rows: readonly (readonly Picture[])[]): Picture {
  const [height = 1, width = 1] = rows[0]?.[0]?.shape ?? [];
  const factor = Math.max(1, Math.floor(SHOWN_SIDE_PX / Math.max(height, width)));
  const [h, w] = [height * factor, width * factor];
  const columns = Math.max(1, ...rows.map((row) => row.length));
  const [sheetH, sheetW] = [rows.length * (h + GAP) + GAP, columns * (w + GAP) + GAP];
  const sheet = ndarray(new Uint8Array(sheetH * sheetW * 3).fill(244), [sheetH, sheetW, 3]);
  rows.forEach((row, r) =>
    row.forEach((picture, c) => {
      const large = factor === 1 ? picture : enlarge(picture, factor);
      const [top, left] = [GAP + r * (h + GAP), GAP + c * (w + GAP)];
      for (let y = 0; y < h; y++)
        for (let x = 0; x < w; x++) for (let k = 0; k < 3; k++) sheet.set(top + y, left + x, k, large.get(y, x, k));
    }),
  );
  return sheet;
}
