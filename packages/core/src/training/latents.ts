import { throwIfAborted } from '../errors.js';
import { type DiffusionModel, output } from '../models/diffusion-model.js';
import type { Generator } from '../random.js';
import type { TrainingPicture } from './dataset.js';

/** The normal distribution of one square's latents: its numbers are drawn anew in every step, the network behind it runs once. */
export interface Posterior {
  /** `[C, H, W]`, row-major. */
  readonly mean: Float32Array;
  readonly deviation: Float32Array;
  readonly shape: readonly [channels: number, height: number, width: number];
}

/** Encodes every square once, and frees what the encoder held: training has no further use for it. @returns Per picture, per square. */
export async function encodeDataset(
  model: DiffusionModel,
  pictures: readonly TrainingPicture[],
  { signal, onProgress }: { signal?: AbortSignal; onProgress?: (done: number, total: number) => void } = {},
): Promise<Posterior[][]> {
  const total = pictures.reduce((sum, { squares }) => sum + squares.length, 0);
  const encoded: Posterior[][] = [];
  let done = 0;
  const { encodePicture } = model.functions;
  for (const { squares } of pictures) {
    const posteriors: Posterior[] = [];
    for (const picture of squares) {
      throwIfAborted(signal, 'encoding the pictures');
      const outputs = await encodePicture.run({ picture });
      const mean = output(outputs, 'mean');
      const [, channels = 0, height = 0, width = 0] = mean.shape;
      posteriors.push({
        mean: mean.data,
        deviation: output(outputs, 'logvar').data.map((logvar) => Math.exp(0.5 * Math.min(20, Math.max(-30, logvar)))),
        shape: [channels, height, width],
      });
      onProgress?.(++done, total);
    }
    encoded.push(posteriors);
  }
  encodePicture.dispose();
  return encoded;
}

/** Draws latents as the UNet sees them: `(mean + deviation * normal - shift) * scale`. */
export function drawLatents(
  { mean, deviation }: Posterior,
  { scalingFactor, shiftFactor }: { scalingFactor: number; shiftFactor: number },
  generator: Generator,
): Float32Array {
  const noise = generator.normal(mean.length);
  return mean.map((value, i) => (value + (deviation[i] ?? 0) * (noise[i] ?? 0) - shiftFactor) * scalingFactor);
}
