import type { LearningRateShape } from '../models/model-hints.js';

/** How the learning rate goes over a run. */
export interface LearningRateSchedule {
  /** The greatest learning rate. */
  readonly peak: number;
  /** What happens after the warm-up: stays, or falls to zero at the last step in a line or half a cosine. */
  readonly shape: LearningRateShape;
  /** Steps over which the learning rate rises from zero. */
  readonly warmupSteps: number;
}

/**
 * The learning rate of a step.
 * @param step - Counted from 0.
 * @see diffusers 0.42, optimization.py
 */
export function learningRateAt(
  step: number,
  steps: number,
  { peak, shape, warmupSteps }: LearningRateSchedule,
): number {
  if (step < warmupSteps) return (peak * step) / Math.max(1, warmupSteps);
  const progress = (step - warmupSteps) / Math.max(1, steps - warmupSteps);
  switch (shape) {
    case 'constant':
      return peak;
    case 'linear':
      return peak * Math.max(0, 1 - progress);
    case 'cosine':
      return peak * 0.5 * (1 + Math.cos(Math.PI * progress));
  }
}

/** The paper's rule: the learning rate grows with the pictures per step. @see Gal et al. 2022, arXiv 2208.01618, section 4, "Implementation details" */
export function scaledByBatch(learningRate: number, batchSize: number, gradientAccumulation: number): number {
  return learningRate * batchSize * gradientAccumulation;
}
