import { TextualInversionError } from '../errors.js';

/**
 * Checks one side of a picture.
 * @param downscale - Pixels per latent.
 * @throws SIZE_INVALID
 */
export function checkSize(where: string, sizePx: number, downscale: number): number {
  if (Number.isInteger(sizePx) && sizePx > 0 && sizePx % downscale === 0) return sizePx;
  const near = Math.max(1, Math.round(sizePx / downscale)) * downscale;
  throw new TextualInversionError('SIZE_INVALID', {
    where,
    expected: `a positive multiple of ${downscale} pixels`,
    found: String(sizePx),
    fix: Number.isFinite(near) ? `Take ${near}.` : undefined,
    details: { sizePx, downscale },
  });
}
