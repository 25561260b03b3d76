import {
  type ByteSource,
  type Concept,
  createPicture,
  type DiffusionModel,
  type HostTensor,
  type InvertHooks,
  type InvertOptions,
  invert,
  type Picture,
  type Runtime,
  type StepReport,
} from '../../packages/core/src/index.js';

/** A picture that is none: stripes whose width is `period`. */
export function stripes(period: number, sidePx = 64): Picture {
  const pixels = Uint8Array.from({ length: sidePx * sidePx * 3 }, (_, i) => {
    const [x, channel] = [Math.floor(i / 3) % sidePx, i % 3];
    return (Math.floor(x / period) % 2) * (255 - 60 * channel);
  });
  return createPicture(pixels, [sidePx, sidePx, 3]);
}

export function bytesSource(bytes: Uint8Array, name = 'checkpoint'): ByteSource {
  return { name, size: bytes.length, read: async (offset, length) => bytes.slice(offset, offset + length) };
}

/** What a training handed out. */
export interface Run {
  readonly concept: Concept;
  readonly reports: readonly StepReport[];
  readonly checkpoints: ReadonlyMap<number, Uint8Array>;
}

export const OPTIONS = { token: '<it>', initializer: 'cat', learningRate: 5e-3, batchSize: 1, steps: 6 } as const;

/** Runs a training and keeps what it hands out; `stopAfter` aborts it after that step, and then there is no concept. */
export async function runInversion(
  model: DiffusionModel,
  options: Partial<InvertOptions> = {},
  { pictures = [stripes(4), stripes(9)], ...hooks }: InvertHooks & { pictures?: readonly Picture[] } = {},
): Promise<Run> {
  const reports: StepReport[] = [];
  const checkpoints = new Map<number, Uint8Array>();
  const concept = await invert(
    model,
    pictures,
    { ...OPTIONS, ...options },
    {
      ...hooks,
      onStep: async (report, concept) => {
        reports.push(report);
        await hooks.onStep?.(report, concept);
      },
      onCheckpoint: async (bytes, step) => {
        checkpoints.set(step, bytes);
        await hooks.onCheckpoint?.(bytes, step);
      },
    },
  );
  return { concept, reports, checkpoints };
}

/** Numbers that went into a training step and came out of it. */
export interface StepCall {
  readonly inputs: Readonly<Record<string, HostTensor>>;
  readonly outputs: Readonly<Record<string, HostTensor>>;
}

/** The same model, whose training steps are written down. */
export function recordSteps(model: DiffusionModel): { recorded: DiffusionModel; calls: readonly StepCall[] } {
  const calls: StepCall[] = [];
  const compile: Runtime['compile'] = (...given) => {
    const step = model.runtime.compile(...given);
    const run: typeof step.run = async (inputs) => {
      const outputs = await step.run(inputs);
      calls.push({ inputs, outputs });
      return outputs;
    };
    return { run, dispose: () => step.dispose() };
  };
  return { recorded: { ...model, runtime: { ...model.runtime, compile } }, calls };
}
