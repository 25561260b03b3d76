import type { DiffusionModel } from '../../packages/core/src/index.js';
import { sizeEmbedding, timestepEmbedding } from '../../packages/core/src/models/unet/embeddings.js';
import type { HostTensor } from '../../packages/core/src/platform.js';
import { createNoiseSchedule } from '../../packages/core/src/schedules/noise.js';
import { noisyLatents, predictionTarget } from '../../packages/core/src/training/loss.js';
import type { GoldenTensor } from './golden.js';

/** Original size, crop and target size that the goldens of SDXL were made with. */
const SIZES = [64, 64, 0, 0, 64, 64];

export function host({ data, shape }: GoldenTensor): HostTensor {
  return { data: Float32Array.from(data), shape };
}

/** Entry `index` along the first axis. */
export function entry({ data, shape: [, ...shape] }: HostTensor, index: number): HostTensor {
  const size = shape.reduce((product, length) => product * length, 1);
  return { data: data.slice(index * size, (index + 1) * size), shape };
}

/** The prompts by the ids that the reference gave them, so that no tokenizer takes part. */
export async function promptsOf(
  { textEncoders }: DiffusionModel,
  idsOf: (suffix: string, prompt: string) => number[],
  prompts: readonly string[],
  rows: readonly HostTensor[],
): Promise<Record<string, HostTensor>> {
  const inputs: Record<string, HostTensor> = {};
  for (const [i, { table, tokenizer }] of textEncoders.entries()) {
    const { vocabSize, width } = table;
    const concept = rows[i];
    if (!concept) throw new Error('one concept per encoder');
    const [vectors = 0] = concept.shape;
    const ids = prompts.map((prompt) => idsOf(i === 0 ? '' : `_${i + 1}`, prompt));
    const [batch, tokens] = [ids.length, ids[0]?.length ?? 0];
    const embedded = await table.rows(ids.flat().map((id) => (id < vocabSize ? id : tokenizer.endId)));
    const slots = new Float32Array(batch * tokens * vectors);
    const ends = new Float32Array(batch * tokens);
    for (const [place, id] of ids.flat().entries()) {
      if (id < vocabSize) continue;
      embedded.fill(0, place * width, (place + 1) * width);
      slots[place * vectors + id - vocabSize] = 1;
    }
    for (const [b, prompt] of ids.entries()) ends[b * tokens + prompt.indexOf(tokenizer.endId)] = 1;
    inputs[`rows.${i}`] = concept;
    inputs[`embedded.${i}`] = { data: embedded, shape: [batch, tokens, width] };
    inputs[`slots.${i}`] = { data: slots, shape: [batch, tokens, vectors] };
    inputs[`ends.${i}`] = { data: ends, shape: [batch, tokens] };
  }
  return inputs;
}

export function onlyPrompts(inputs: Record<string, HostTensor>): Record<string, HostTensor> {
  return Object.fromEntries(Object.entries(inputs).filter(([name]) => /^(rows|embedded|slots|ends)\./.test(name)));
}

export function sizesOf({ unet }: DiffusionModel, batch: number): Record<string, HostTensor> {
  const { addition } = unet.config;
  return addition ? { sizes: sizeEmbedding(Array<number[]>(batch).fill(SIZES), addition.sinusoid) } : {};
}

/** The inputs of a training step, from the numbers of a golden file. */
export async function stepInputs(
  model: DiffusionModel,
  idsOf: (suffix: string, prompt: string) => number[],
  rows: readonly HostTensor[],
  prompts: readonly string[],
  latents: HostTensor,
  noise: HostTensor,
  timesteps: readonly number[],
): Promise<Record<string, HostTensor>> {
  const { noise: schedule, prediction } = model.scheduler;
  const { alphasCumprod } = createNoiseSchedule(schedule);
  const mixed = (mix: (latents: Float32Array, noise: Float32Array, alpha: number) => Float32Array): HostTensor => {
    const parts = timesteps.map((t, b) => [
      ...mix(entry(latents, b).data, entry(noise, b).data, alphasCumprod[t] ?? Number.NaN),
    ]);
    return { data: Float32Array.from(parts.flat()), shape: latents.shape };
  };
  if (latents.shape[0] !== timesteps.length) throw new Error('one timestep per picture');
  return {
    ...(await promptsOf(model, idsOf, prompts, rows)),
    noisy: mixed(noisyLatents),
    target: mixed((x, e, alpha) => predictionTarget(prediction, x, e, alpha)),
    weights: { data: new Float32Array(timesteps.length).fill(1), shape: [timesteps.length] },
    time: timestepEmbedding(timesteps, model.unet.config),
    ...sizesOf(model, timesteps.length),
  };
}
