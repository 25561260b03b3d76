import ndarray from 'ndarray';
import { invert } from './invert.js';
import type { LoadedModel } from './models.js';

/** Pictures per step. */
export const MEASURED_BATCH = 4;
const STEPS = 6;
const WARM_UP = 3;

/** Median seconds of a training step on a gray picture, after a warm-up. */
export async function measureStep(model: LoadedModel): Promise<number> {
  const { sizePx } = model;
  const gray = ndarray(new Uint8Array(sizePx * sizePx * 3).fill(128), [sizePx, sizePx, 3]);
  const seconds: number[] = [];
  await invert({
    model,
    images: [gray],
    token: '<measure>',
    initializer: { random: true },
    steps: STEPS,
    batchSize: MEASURED_BATCH,
    checkpointEverySteps: 0,
    onStep: (report) => void seconds.push(report.seconds),
  });
  const warm = seconds.slice(WARM_UP).toSorted((a, b) => a - b);
  return warm[Math.floor(warm.length / 2)] ?? 0;
}
