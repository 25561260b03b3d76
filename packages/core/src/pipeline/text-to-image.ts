import type { Concept } from '../concepts/concept.js';
import { throwIfAborted } from '../errors.js';
import { type DiffusionModel, output } from '../models/diffusion-model.js';
import { checkSize } from '../models/picture-size.js';
import { preparePrompts } from '../models/prompt-inputs.js';
import { sizeEmbedding, timestepEmbedding } from '../models/unet/embeddings.js';
import { numberIn, oneOf, withDefaults } from '../options.js';
import { createPicture } from '../picture.js';
import type { HostTensor, Picture } from '../platform.js';
import { Generator } from '../random.js';
import { createNoiseSchedule } from '../schedules/noise.js';
import { createSampler, SAMPLERS, type SamplerName } from '../schedules/samplers/index.js';

/** What is drawn, and how. Everything but the prompt has a default: see `GENERATE_DEFAULTS`. */
export interface GenerateOptions {
  /** What the picture shows; the words of `concepts` may be in it. */
  readonly prompt: string;
  /** What the picture should not be. @defaultValue '' */
  readonly negativePrompt?: string;
  /** Learned words that the prompts may hold. */
  readonly concepts?: readonly Concept[];
  /** Steps of the sampler. @defaultValue 25 */
  readonly steps?: number;
  /** How strongly the prompt counts; 1 or less leaves the negative prompt out and halves the work. @defaultValue the model's hint, else 7.5 */
  readonly guidanceScale?: number;
  /** @defaultValue the one that the model's own scheduler names */
  readonly sampler?: SamplerName;
  /** The same seed gives the same picture, and PyTorch's noise on the CPU. @defaultValue 0 */
  readonly seed?: number;
  /** Pictures to draw. @defaultValue 1 */
  readonly count?: number;
  /** @defaultValue the side the model was trained on */
  readonly widthPx?: number;
  /** @defaultValue the side the model was trained on */
  readonly heightPx?: number;
  /** Stops before the next call of the network. */
  readonly signal?: AbortSignal;
  /** Called after each call of the network; some samplers call it more often than `steps`. */
  readonly onStep?: (step: number, steps: number) => void;
}

/** How pictures are drawn where neither the caller nor the model's makers say otherwise. */
export const GENERATE_DEFAULTS = { negativePrompt: '', steps: 25, guidanceScale: 7.5, seed: 0, count: 1 } as const;

/** Pictures, and what made them. */
export interface Generated {
  readonly pictures: readonly Picture[];
  readonly settings: GenerateSettings;
  readonly warnings: readonly string[];
}

/** Everything that decides a picture, filled in. */
export interface GenerateSettings {
  readonly prompt: string;
  readonly negativePrompt: string;
  readonly steps: number;
  readonly guidanceScale: number;
  readonly sampler: SamplerName;
  readonly seed: number;
  readonly widthPx: number;
  readonly heightPx: number;
  readonly model: string;
}

/**
 * Draws pictures from a prompt.
 * @returns Pictures `[H, W, 3]`, 8 bits.
 * @throws OPTION_INVALID, SIZE_INVALID, CONCEPT_WIDTH, PROMPT_TOO_LONG, ABORTED
 * @see Ho & Salimans 2022, arXiv 2207.12598 (classifier-free guidance)
 */
export async function generate(model: DiffusionModel, options: GenerateOptions): Promise<Generated> {
  const { count, ...settings } = checkOptions(model, options);
  const { steps, guidanceScale, seed, sampler: samplerName } = settings;
  const { unet, autoencoder, scheduler, functions } = model;
  const height = settings.heightPx / autoencoder.config.downscale;
  const width = settings.widthPx / autoencoder.config.downscale;
  const size = unet.config.inChannels * height * width;

  const schedule = createNoiseSchedule(scheduler.noise);
  const sampler = createSampler(samplerName, schedule, {
    ...scheduler.samplerOptions,
    steps,
    prediction: scheduler.prediction,
  });
  const guided = guidanceScale > 1;
  const generator = new Generator(seed);
  const condition = await encodeCondition(model, settings, options.concepts ?? [], guided, count);

  let sample: Float32Array = generator.normal(count * size).map((noise) => noise * sampler.initNoiseSigma);
  for (const [index, timestep] of sampler.timesteps.entries()) {
    throwIfAborted(options.signal, 'drawing');
    const scaled = sampler.scaleModelInput(sample, index);
    const batch = guided ? 2 * count : count;
    const outputs = await functions.denoise.run({
      ...condition.inputs,
      sample: { data: guided ? twice(scaled) : scaled, shape: [batch, unet.config.inChannels, height, width] },
      time: timestepEmbedding(new Array<number>(batch).fill(timestep), unet.config),
    });
    const said = output(outputs, 'output').data;
    sample = sampler.step(guided ? guide(said, guidanceScale) : said, index, sample, generator);
    options.onStep?.(index + 1, sampler.timesteps.length);
  }
  return {
    pictures: await decode(model, sample, [count, unet.config.inChannels, height, width], options.signal),
    settings,
    warnings: condition.warnings,
  };
}

/** Decodes latents as the UNet sees them to pictures, one at a time to keep memory small. @param shape - `[B, C, h, w]` */
export async function decode(
  { autoencoder, functions }: DiffusionModel,
  latents: Float32Array,
  [count, ...shape]: readonly [number, number, number, number],
  signal?: AbortSignal,
): Promise<Picture[]> {
  const { scalingFactor, shiftFactor } = autoencoder.config;
  const size = latents.length / count;
  const pictures: Picture[] = [];
  for (let i = 0; i < count; i++) {
    throwIfAborted(signal, 'decoding');
    const data = latents.slice(i * size, (i + 1) * size).map((value) => value / scalingFactor + shiftFactor);
    const outputs = await functions.decodeLatents.run({ latents: { data, shape: [1, ...shape] } });
    pictures.push(toPicture(output(outputs, 'picture')));
  }
  return pictures;
}

function checkOptions(model: DiffusionModel, options: GenerateOptions): GenerateSettings & { count: number } {
  const { guidanceScale } = model.hints;
  const given = withDefaults(options, withDefaults({ guidanceScale }, GENERATE_DEFAULTS));
  numberIn('steps', given.steps, { min: 1, max: 1000, integer: true });
  numberIn('guidanceScale', given.guidanceScale, { min: 0 });
  numberIn('count', given.count, { min: 1, integer: true });
  const sampler = given.sampler === undefined ? model.scheduler.sampler : oneOf('sampler', given.sampler, SAMPLERS);
  const { downscale } = model.autoencoder.config;
  return {
    prompt: given.prompt,
    negativePrompt: given.negativePrompt,
    steps: given.steps,
    guidanceScale: given.guidanceScale,
    sampler,
    seed: given.seed,
    count: given.count,
    widthPx: checkSize('widthPx', given.widthPx ?? model.sizePx, downscale),
    heightPx: checkSize('heightPx', given.heightPx ?? model.sizePx, downscale),
    model: model.name,
  };
}

/** What the UNet is told besides the sample: unconditional first, then conditional, each `count` times. */
async function encodeCondition(
  model: DiffusionModel,
  { prompt, negativePrompt, widthPx, heightPx }: GenerateSettings,
  concepts: readonly Concept[],
  guided: boolean,
  count: number,
): Promise<{ inputs: Record<string, HostTensor>; warnings: readonly string[] }> {
  const texts = guided ? [negativePrompt, prompt] : [prompt];
  const prompts = await preparePrompts(model.textEncoders, texts, concepts);
  const encoded = await model.functions.encodePrompts.run(prompts.inputs);
  const zeroFirst = guided && negativePrompt === '' && model.zerosForEmptyPrompt;
  const repeated = ({ data, shape: [batch = 1, ...shape] }: HostTensor): HostTensor => {
    const size = data.length / batch;
    const out = new Float32Array(batch * count * size);
    for (let b = 0; b < batch; b++) {
      if (b === 0 && zeroFirst) continue;
      for (let i = 0; i < count; i++) out.set(data.subarray(b * size, (b + 1) * size), (b * count + i) * size);
    }
    return { data: out, shape: [batch * count, ...shape] };
  };
  const inputs: Record<string, HostTensor> = { context: repeated(output(encoded, 'context')) };
  const { addition } = model.unet.config;
  if (addition) {
    const sizes = [heightPx, widthPx, 0, 0, heightPx, widthPx];
    inputs['pooled'] = repeated(output(encoded, 'pooled'));
    inputs['sizes'] = sizeEmbedding(new Array<number[]>(texts.length * count).fill(sizes), addition.sinusoid);
  }
  const tokens = concepts.map(({ token }) => token);
  const unused = tokens.filter((token) => !texts.some((text) => text.includes(token)));
  const unknown = texts.flatMap((text) => text.match(/<[^<>\s]+>/g) ?? []).filter((word) => !tokens.includes(word));
  return {
    inputs,
    warnings: [
      ...prompts.warnings,
      ...unused.map((token) => `The prompt does not hold ${token}.`),
      ...[...new Set(unknown)].map((word) => `No concept is called ${word}: the model reads its letters.`),
    ],
  };
}

/** `unconditional + scale * (conditional - unconditional)` */
function guide(output: Float32Array, scale: number): Float32Array {
  const half = output.length / 2;
  return output.slice(0, half).map((without, i) => without + scale * ((output[half + i] ?? 0) - without));
}

function twice(values: Float32Array): Float32Array {
  const out = new Float32Array(2 * values.length);
  out.set(values);
  out.set(values, values.length);
  return out;
}

/** `[1, 3, H, W]` in [-1, 1] to 8 bits, half to even as the reference's numpy rounds. */
function toPicture({ data, shape }: HostTensor): Picture {
  const [, channels = 3, height = 0, width = 0] = shape;
  const pixels = new Uint8ClampedArray(height * width * channels);
  const area = height * width;
  for (let c = 0; c < channels; c++)
    for (let i = 0; i < area; i++) pixels[i * channels + c] = ((data[c * area + i] ?? 0) / 2 + 0.5) * 255;
  return createPicture(new Uint8Array(pixels.buffer), [height, width, channels]);
}
