import { concatenated } from '../concatenated.js';
import { TextualInversionError, throwIfAborted } from '../errors.js';
import type { DiffusionModel } from '../models/diffusion-model.js';
import { output } from '../models/diffusion-model.js';
import { preparePrompts } from '../models/prompt-inputs.js';
import { sizeEmbedding, timestepEmbedding } from '../models/unet/embeddings.js';
import type { CompiledFunction, HostTensor } from '../platform.js';
import { Generator } from '../random.js';
import { createNoiseSchedule, type NoiseSchedule } from '../schedules/noise.js';
import { type AdamWState, adamwStep, clipGradients, createAdamWState } from './adamw.js';
import { drawLatents, type Posterior } from './latents.js';
import { type LearningRateSchedule, learningRateAt } from './learning-rate.js';
import { minSnrWeight, noisyLatents, predictionTarget } from './loss.js';
import { compileTrainingStep } from './step.js';

/** What the loop itself needs to know; `invert` fills in the rest. */
export interface TrainOptions {
  readonly token: string;
  /** Total number of optimiser steps, counted from the first run. */
  readonly steps: number;
  readonly batchSize: number;
  readonly gradientAccumulation: number;
  readonly learningRate: LearningRateSchedule;
  readonly weightDecay: number;
  /** Largest norm of the gradient over all rows; longer ones are shortened. 0 leaves them alone. */
  readonly maxGradientNorm: number;
  /** Gamma of min-SNR weighting; 0 weighs every timestep alike. @see Hang et al. 2023, arXiv 2303.09556 */
  readonly minSnrGamma: number;
  readonly seed: number;
}

/** Everything that changes while training: with it a run goes on as if it had never stopped. */
export interface TrainingState {
  readonly step: number;
  /** Per text encoder `[V, D]`. */
  readonly rows: readonly HostTensor[];
  readonly optimizer: readonly AdamWState[];
  readonly generator: Generator;
  /** Pictures of the current round that are still to come. */
  readonly queue: readonly number[];
}

/** What one step did. */
export interface StepReport {
  /** Steps done, this one included. */
  readonly step: number;
  readonly steps: number;
  /** Weighted mean of squared differences over the step's pictures. */
  readonly loss: number;
  readonly seconds: number;
  readonly learningRate: number;
  /** Norm of the gradient of all rows, before clipping. */
  readonly gradientNorm: number;
  /** Root mean square of how far the rows are from where they started. */
  readonly moved: number;
  readonly timesteps: readonly number[];
  readonly warnings: readonly string[];
}

export interface TrainingData {
  /** Per picture, per square of it. */
  readonly posteriors: readonly (readonly Posterior[])[];
  /** Per picture the captions to choose from; each holds the token. */
  readonly captions: readonly (readonly string[])[];
}

export function startTraining(rows: readonly HostTensor[], generator: Generator): TrainingState {
  const optimizer = rows.map(({ data }) => createAdamWState(data.length));
  return { step: 0, rows, optimizer, generator, queue: [] };
}

/**
 * The training loop: yields a report and the new state after every step, until `options.steps` are done.
 *
 * Per step and picture: a caption, a square, latents drawn from its posterior, noise and a timestep; the gradient of the loss with
 * respect to the concept's rows; AdamW on the host. All of it from one generator, in one order, so a seed means one run.
 * @param start - Where the rows started, for `moved`.
 * @throws LOSS_NOT_FINITE; ABORTED before the next step begins
 * @see Gal et al. 2022, arXiv 2208.01618, section 3 and algorithm of the official code
 */
export async function* train(
  model: DiffusionModel,
  data: TrainingData,
  options: TrainOptions,
  state: TrainingState,
  start: readonly HostTensor[],
  signal?: AbortSignal,
): AsyncGenerator<{ report: StepReport; state: TrainingState }> {
  const step = compileTrainingStep(model.runtime, {
    encoders: model.textEncoders,
    unet: model.unet.params,
    recompute: model.runtime.scarce?.(),
  });
  const loop: Loop = { model, step, schedule: createNoiseSchedule(model.scheduler.noise), data, options, start };
  const warned = new Set<string>();
  try {
    let current = state;
    while (current.step < options.steps) {
      throwIfAborted(signal, 'training');
      const next = await oneStep(loop, current);
      current = next.state;
      const warnings = next.report.warnings.filter((warning) => !warned.has(warning));
      for (const warning of warnings) warned.add(warning);
      yield { state: current, report: { ...next.report, warnings } };
    }
  } finally {
    step.dispose();
  }
}

/** What stays the same from step to step. */
interface Loop {
  readonly model: DiffusionModel;
  readonly step: CompiledFunction<string, string>;
  readonly schedule: NoiseSchedule;
  readonly data: TrainingData;
  readonly options: TrainOptions;
  readonly start: readonly HostTensor[];
}

async function oneStep(loop: Loop, state: TrainingState): Promise<{ report: StepReport; state: TrainingState }> {
  const began = performance.now();
  const { options, start } = loop;
  const generator = Generator.fromState(state.generator.state());
  const queue = [...state.queue];
  const { loss, gradients, timesteps, warnings } = await accumulated(loop, state.rows, generator, queue);
  const norm = Math.sqrt(gradients.reduce((sum, g) => sum + g.reduce((s, value) => s + value * value, 0), 0));
  if (!Number.isFinite(loss) || !Number.isFinite(norm)) {
    throw new TextualInversionError('LOSS_NOT_FINITE', {
      where: `step ${state.step + 1}, timesteps ${timesteps.join(', ')}, seed ${options.seed}`,
      expected: 'a finite loss and gradient',
      found: `loss ${loss}, gradient ${norm}`,
      fix: 'Lower the learning rate, or check the model with another prompt.',
      details: { step: state.step + 1, timesteps, seed: options.seed },
    });
  }
  if (options.maxGradientNorm > 0) clipGradients(gradients, options.maxGradientNorm);
  if (norm === 0) warnings.add('The gradient is zero: the rows do not move. Do the captions hold the token?');

  const learningRate = learningRateAt(state.step, options.steps, options.learningRate);
  const updated = state.rows.map(({ data: params, shape }, i) => {
    const moments = state.optimizer[i] ?? createAdamWState(params.length);
    const stepped = adamwStep(moments, params, gradients[i] ?? new Float32Array(params.length), {
      learningRate,
      weightDecay: options.weightDecay,
    });
    return { rows: { data: stepped.params, shape }, moments: stepped.state };
  });
  const rows = updated.map(({ rows }) => rows);
  const moved = rootMeanSquare(
    rows.flatMap(({ data }, i) => [...data].map((value, k) => value - (start[i]?.data[k] ?? 0))),
  );
  return {
    state: { step: state.step + 1, rows, optimizer: updated.map(({ moments }) => moments), generator, queue },
    report: {
      step: state.step + 1,
      steps: options.steps,
      loss,
      seconds: (performance.now() - began) / 1000,
      learningRate,
      gradientNorm: norm,
      moved,
      timesteps,
      warnings: [...warnings],
    },
  };
}

/** Loss and gradients of a step: means over its batches. */
async function accumulated(loop: Loop, rows: readonly HostTensor[], generator: Generator, queue: number[]) {
  const { model, step, options } = loop;
  const parts = options.gradientAccumulation;
  const gradients = rows.map(({ data }) => new Float32Array(data.length));
  const timesteps: number[] = [];
  const warnings = new Set<string>();
  let loss = 0;
  for (let part = 0; part < parts; part++) {
    const batch = drawBatch(loop, generator, queue);
    timesteps.push(...batch.timesteps);
    const concept = { token: options.token, rows, info: {} };
    const prompts = await preparePrompts(model.textEncoders, batch.captions, [concept]);
    for (const warning of prompts.warnings) warnings.add(warning);
    const outputs = await step.run({ ...prompts.inputs, ...batch.inputs });
    loss += (output(outputs, 'loss').data[0] ?? Number.NaN) / parts;
    gradients.forEach((sum, i) => {
      const gradient = output(outputs, `rows.${i}`).data;
      for (let k = 0; k < sum.length; k++) sum[k] = (sum[k] ?? 0) + (gradient[k] ?? 0) / parts;
    });
  }
  return { loss, gradients, timesteps, warnings };
}

/** Draws one batch: pictures in shuffled rounds, so that each is seen equally often. */
function drawBatch({ model, schedule, data, options }: Loop, generator: Generator, queue: number[]) {
  const { posteriors, captions } = data;
  const { batchSize, minSnrGamma } = options;
  const { prediction } = model.scheduler;
  const chosen = Array.from({ length: batchSize }, () => {
    if (queue.length === 0) queue.push(...shuffled(posteriors.length, generator));
    const picture = queue.shift() ?? 0;
    const posterior = pick(posteriors[picture] ?? [], generator);
    const caption = pick(captions[picture] ?? [], generator);
    const latents = drawLatents(posterior, model.autoencoder.config, generator);
    const noise = generator.normal(latents.length);
    const timestep = generator.integers(0, schedule.trainSteps, 1)[0] ?? 0;
    const alpha = schedule.alphasCumprod[timestep] ?? 1;
    return { caption, latents, noise, timestep, alpha, shape: posterior.shape };
  });
  const [channels, height, width] = chosen[0]?.shape ?? [0, 0, 0];
  const shape = [batchSize, channels, height, width];
  const noisy = chosen.map(({ latents, noise, alpha }) => noisyLatents(latents, noise, alpha));
  const target = chosen.map(({ latents, noise, alpha }) => predictionTarget(prediction, latents, noise, alpha));
  const weights = chosen.map(({ alpha }) => (minSnrGamma > 0 ? minSnrWeight(prediction, alpha, minSnrGamma) : 1));
  const timesteps = chosen.map(({ timestep }) => timestep);
  const inputs: Record<string, HostTensor> = {
    noisy: { data: concatenated(noisy), shape },
    target: { data: concatenated(target), shape },
    weights: { data: Float32Array.from(weights), shape: [batchSize] },
    time: timestepEmbedding(timesteps, model.unet.config),
  };
  const { addition } = model.unet.config;
  if (addition) {
    const [h, w] = [height * model.autoencoder.config.downscale, width * model.autoencoder.config.downscale];
    inputs['sizes'] = sizeEmbedding(
      timesteps.map(() => [h, w, 0, 0, h, w]),
      addition.sinusoid,
    );
  }
  return { captions: chosen.map(({ caption }) => caption), timesteps, inputs };
}

function shuffled(count: number, generator: Generator): number[] {
  const order = Array.from({ length: count }, (_, i) => i);
  for (let i = count - 1; i > 0; i--) {
    const j = generator.integers(0, i + 1, 1)[0] ?? 0;
    [order[i], order[j]] = [order[j] ?? 0, order[i] ?? 0];
  }
  return order;
}

function pick<T>(list: readonly T[], generator: Generator): T {
  const entry = list[generator.integers(0, list.length, 1)[0] ?? 0];
  if (entry === undefined) throw new Error('nothing to choose from');
  return entry;
}

function rootMeanSquare(values: readonly number[]): number {
  return Math.sqrt(values.reduce((sum, value) => sum + value * value, 0) / values.length);
}
