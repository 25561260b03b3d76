import { TextualInversionError } from '../errors.js';
import { shown } from '../options.js';

/** Times the side that a model was trained on: beyond, there is neither memory nor a picture. */
const MOST_TIMES = 8;

/**
 * Checks one side of a picture.
 * @param downscale - Pixels per latent.
 * @param trainedPx - The side that the model was trained on.
 * @throws SIZE_INVALID
 */
export function checkSize(where: string, sizePx: number, downscale: number, trainedPx: number): number {
  const most = MOST_TIMES * trainedPx;
  if (Number.isInteger(sizePx) && sizePx > 0 && sizePx <= most && sizePx % downscale === 0) return sizePx;
  const near = Math.min(most, Math.max(1, Math.round(sizePx / downscale)) * downscale);
  throw new TextualInversionError('SIZE_INVALID', {
    where,
    expected: `a positive multiple of ${downscale} pixels, at most ${most}`,
    found: shown(sizePx),
    fix: Number.isFinite(near) ? `Take ${near}.` : undefined,
    details: { sizePx, downscale },
  });
}
