import { roundHalfEven } from './arithmetic.js';

/**
 * Which timesteps a sampler visits: whole strides from the first (`leading`), whole strides from the last (`trailing`), or
 * evenly between the two (`linspace`).
 * @see Lin et al. 2023, arXiv 2305.08891, table 2
 */
export const SPACINGS = ['leading', 'trailing', 'linspace'] as const;
export type Spacing = (typeof SPACINGS)[number];

export interface TimestepGrid {
  /** Timesteps of the training. */
  trainSteps: number;
  steps: number;
  spacing: Spacing;
  /** Added to every timestep of `leading`. */
  stepsOffset: number;
  /** Makes the grid one step longer and leaves out its end: solvers that append a last point of no noise want this. */
  openEnd?: boolean;
  /** Keeps the fractions of `linspace`. */
  fractional?: boolean;
}

/** The timesteps to visit, falling, `steps` of them. */
export function spaceTimesteps(grid: TimestepGrid): number[] {
  const { trainSteps, steps, spacing, stepsOffset } = grid;
  const points = grid.openEnd ? steps + 1 : steps;
  const falling = Array.from({ length: steps }, (_, i) => points - 1 - i);
  switch (spacing) {
    case 'leading': {
      const stride = Math.floor(trainSteps / points);
      return falling.map((i) => i * stride + stepsOffset);
    }
    case 'trailing': {
      const stride = trainSteps / steps;
      return Array.from({ length: steps }, (_, i) => roundHalfEven(trainSteps - i * stride) - 1);
    }
    case 'linspace': {
      const stride = points > 1 ? (trainSteps - 1) / (points - 1) : 0;
      return falling.map((i) => (grid.fractional ? Math.fround(i * stride) : roundHalfEven(i * stride)));
    }
  }
}
