import { TextualInversionError } from '../errors.js';
import { numberIn, oneOf } from '../options.js';

/** How the noise grows over the training steps. */
export const BETA_SCHEDULES = ['linear', 'scaled_linear', 'squaredcos_cap_v2', 'sigmoid'] as const;
export type BetaSchedule = (typeof BETA_SCHEDULES)[number];

/** What a noise schedule is made from. */
export interface NoiseScheduleConfig {
  /** Number of timesteps the network was trained with. */
  trainSteps: number;
  betaStart: number;
  betaEnd: number;
  betaSchedule: BetaSchedule;
  /** The variances themselves, `trainSteps` of them; the three values above do not count then. */
  trainedBetas?: readonly number[];
  /** Shifts the schedule so that the last timestep is pure noise. @see Lin et al. 2023, arXiv 2305.08891, algorithm 1 */
  zeroTerminalSnr?: boolean;
}

/** The forward process: at timestep t, `x_t = sqrt(alphasCumprod[t]) x_0 + sqrt(1 - alphasCumprod[t]) noise`. */
export interface NoiseSchedule {
  readonly trainSteps: number;
  readonly betaSchedule: BetaSchedule;
  /** Variance added at each timestep, `[trainSteps]`. */
  readonly betas: Float64Array;
  /** Share of the signal's variance that is left at each timestep, `[trainSteps]`, falling. */
  readonly alphasCumprod: Float64Array;
}

/** What Stable Diffusion was trained with. @see Rombach et al. 2022, arXiv 2112.10752 */
export const STABLE_DIFFUSION_NOISE: NoiseScheduleConfig = {
  trainSteps: 1000,
  betaStart: 0.00085,
  betaEnd: 0.012,
  betaSchedule: 'scaled_linear',
};

/**
 * Computes the schedule once, on the host. Every number is rounded to float32 where PyTorch rounds it, because the published
 * networks were trained with the rounded ones.
 * @throws OPTION_INVALID
 */
export function createNoiseSchedule(config: NoiseScheduleConfig): NoiseSchedule {
  numberIn('trainSteps', config.trainSteps, { min: 1, integer: true });
  oneOf('betaSchedule', config.betaSchedule, BETA_SCHEDULES);
  const betas = config.trainedBetas ? Float64Array.from(config.trainedBetas, Math.fround) : makeBetas(config);
  if (betas.length !== config.trainSteps) {
    throw new TextualInversionError('OPTION_INVALID', {
      where: 'trainedBetas',
      expected: `${config.trainSteps} numbers`,
      found: String(betas.length),
    });
  }
  for (const beta of betas) numberIn('beta', beta, { min: 0, max: 1 });
  const { trainSteps, betaSchedule } = config;
  const alphasCumprod = cumulativeProduct(betas.map((beta) => f32(1 - beta)));
  if (!config.zeroTerminalSnr) return { trainSteps, betaSchedule, betas, alphasCumprod };
  const shifted = withZeroTerminalSnr(alphasCumprod);
  return { trainSteps, betaSchedule, betas: betasOf(shifted), alphasCumprod: shifted };
}

const f32 = Math.fround;

function makeBetas({ betaSchedule, trainSteps, betaStart, betaEnd }: NoiseScheduleConfig): Float64Array {
  switch (betaSchedule) {
    case 'linear':
      return linspace(betaStart, betaEnd, trainSteps);
    case 'scaled_linear':
      return linspace(Math.sqrt(betaStart), Math.sqrt(betaEnd), trainSteps).map((root) => f32(root * root));
    case 'squaredcos_cap_v2':
      return cosineBetas(trainSteps);
    case 'sigmoid':
      return linspace(-6, 6, trainSteps).map((x) => f32(f32(sigmoid(x) * f32(betaEnd - betaStart)) + f32(betaStart)));
  }
}

/** @see Nichol and Dhariwal 2021, arXiv 2102.09672, equation 17 */
function cosineBetas(steps: number): Float64Array {
  const signal = (t: number) => Math.cos((((t / steps + 0.008) / 1.008) * Math.PI) / 2) ** 2;
  return Float64Array.from({ length: steps }, (_, i) => f32(Math.min(1 - signal(i + 1) / signal(i), 0.999)));
}

const sigmoid = (x: number): number => f32(1 / (1 + Math.exp(-x)));

/** `torch.linspace` in float32: counted from both ends towards the middle, product and sum rounded once. */
function linspace(start: number, end: number, count: number): Float64Array {
  const [from, to] = [f32(start), f32(end)];
  const step = count > 1 ? f32(f32(to - from) / (count - 1)) : 0;
  return Float64Array.from({ length: count }, (_, i) =>
    i < count / 2 ? f32(from + step * i) : f32(to - step * (count - 1 - i)),
  );
}

/** Summed up in float64, each result rounded to float32, as PyTorch does on the CPU. */
function cumulativeProduct(factors: Float64Array): Float64Array {
  let product = 1;
  return factors.map((factor) => f32((product *= factor)));
}

/**
 * Moves the square roots of the cumulated signal down until the last one is zero, and stretches them so that the first one
 * stays. In float64: the reference's own float32 numbers differ by up to 4e-7 between CPUs (docs/decisions/zero-terminal-snr.md).
 * @see Lin et al. 2023, arXiv 2305.08891, algorithm 1
 */
function withZeroTerminalSnr(alphasCumprod: Float64Array): Float64Array {
  const roots = alphasCumprod.map(Math.sqrt);
  const first = roots[0] ?? 1;
  const last = roots[roots.length - 1] ?? 0;
  const stretch = first / (first - last);
  return roots.map((root) => ((root - last) * stretch) ** 2);
}

function betasOf(alphasCumprod: Float64Array): Float64Array {
  return alphasCumprod.map((alpha, i) => 1 - alpha / (alphasCumprod[i - 1] ?? 1));
}
