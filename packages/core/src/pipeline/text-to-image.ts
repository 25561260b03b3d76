import { concatenated } from '../concatenated.js';
import type { Concept } from '../concepts/concept.js';
import { throwIfAborted } from '../errors.js';
import { checkModel, type DiffusionModel, output } from '../models/diffusion-model.js';
import { checkSize } from '../models/picture-size.js';
import { preparePrompts } from '../models/prompt-inputs.js';
import { sizeEmbedding, timestepEmbedding } from '../models/unet/embeddings.js';
import { numberIn, oneOf, text, withDefaults } from '../options.js';
import { createPicture } from '../picture.js';
import type { HostTensor, Picture } from '../platform.js';
import { Generator } from '../random.js';
import { samplerOptionsFor } from '../schedules/foreign.js';
import { createNoiseSchedule } from '../schedules/noise.js';
import { createSampler, SAMPLERS, type Sampler, type SamplerName } from '../schedules/samplers/index.js';
import { holdsToken } from '../tokenizers/prompt.js';

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
  /** Of the first picture; the next has the next. The same seed gives the same picture, and PyTorch's noise on the CPU. @defaultValue 0 */
  readonly seed?: number;
  /** Pictures to draw, each as it would be drawn alone. @defaultValue 1 */
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

/** Latent pixels that one call of the network is given at most, if there are several pictures: one of Stable Diffusion 1.5's. */
const LATENT_PIXELS_AT_ONCE = 64 * 64;

/** How pictures are drawn where neither the caller nor the model's makers say otherwise. */
export const GENERATE_DEFAULTS = { negativePrompt: '', steps: 25, guidanceScale: 7.5, seed: 0, count: 1 } as const;

/** Pictures, and what a person should know of them. */
export interface Generated {
  readonly pictures: readonly DrawnPicture[];
  readonly warnings: readonly string[];
}

/** A picture, and what made it: alone, the same settings draw it again. */
export interface DrawnPicture {
  readonly pixels: Picture;
  readonly settings: GenerateSettings;
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
  checkModel(model);
  const { count, ...settings } = checkOptions(model, options);
  const { steps, guidanceScale, seed, sampler: samplerName } = settings;
  const { unet, autoencoder, scheduler, functions } = model;
  const height = settings.heightPx / autoencoder.config.downscale;
  const width = settings.widthPx / autoencoder.config.downscale;
  const size = unet.config.inChannels * height * width;

  const schedule = createNoiseSchedule(scheduler.noise);
  const guided = guidanceScale > 1;
  const drawings = Array.from({ length: count }, (_, i): Drawing => {
    const sampler = createSampler(samplerName, schedule, {
      ...samplerOptionsFor(scheduler, samplerName),
      steps,
      prediction: scheduler.prediction,
    });
    const generator = new Generator(seed + i);
    return { sampler, generator, sample: generator.normal(size).map((noise) => noise * sampler.initNoiseSigma) };
  });
  const { inputsFor, warnings } = await encodeCondition(model, settings, options.concepts ?? [], guided);
  const atOnce = Math.max(1, Math.floor(LATENT_PIXELS_AT_ONCE / (height * width)));
  const batches = Array.from({ length: Math.ceil(count / atOnce) }, (_, i) => {
    const members = drawings.slice(i * atOnce, (i + 1) * atOnce);
    return { members, inputs: inputsFor(members.length) };
  });

  const timesteps = drawings[0]?.sampler.timesteps ?? [];
  for (const [index, timestep] of timesteps.entries()) {
    for (const { members, inputs } of batches) {
      throwIfAborted(options.signal, 'drawing');
      const scaled = members.map(({ sampler, sample }) => sampler.scaleModelInput(sample, index));
      const samples = guided ? [...scaled, ...scaled] : scaled;
      const outputs = await functions.denoise.run({
        ...inputs,
        sample: { data: concatenated(samples), shape: [samples.length, unet.config.inChannels, height, width] },
        time: timestepEmbedding(new Array<number>(samples.length).fill(timestep), unet.config),
      });
      const said = output(outputs, 'output').data;
      const guidance = guided ? guide(said, guidanceScale) : said;
      for (const [i, drawing] of members.entries()) {
        const own = guidance.subarray(i * size, (i + 1) * size);
        drawing.sample = drawing.sampler.step(own, index, drawing.sample, drawing.generator);
      }
    }
    options.onStep?.(index + 1, timesteps.length);
  }
  const pictures: DrawnPicture[] = []; // decoded one at a time, to keep memory small
  for (const [i, { sample }] of drawings.entries()) {
    throwIfAborted(options.signal, 'decoding');
    const pixels = await decode(model, { data: sample, shape: [1, unet.config.inChannels, height, width] });
    pictures.push({ pixels, settings: { ...settings, seed: seed + i } });
  }
  return { pictures, warnings };
}

/** A picture on its way: everything in it is its own. */
interface Drawing {
  readonly sampler: Sampler;
  readonly generator: Generator;
  sample: Float32Array;
}

/** Decodes latents as the UNet sees them. @param latents - `[1, C, h, w]` */
async function decode({ autoencoder, functions }: DiffusionModel, latents: HostTensor): Promise<Picture> {
  const { scalingFactor, shiftFactor } = autoencoder.config;
  const data = latents.data.map((value) => value / scalingFactor + shiftFactor);
  return toPicture(output(await functions.decodeLatents.run({ latents: { ...latents, data } }), 'picture'));
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
    prompt: text('prompt', given.prompt),
    negativePrompt: text('negativePrompt', given.negativePrompt),
    steps: given.steps,
    guidanceScale: given.guidanceScale,
    sampler,
    seed: given.seed,
    count: given.count,
    widthPx: checkSize('widthPx', given.widthPx ?? model.sizePx, downscale, model.sizePx),
    heightPx: checkSize('heightPx', given.heightPx ?? model.sizePx, downscale, model.sizePx),
    model: model.name,
  };
}

/** What the UNet is told besides the samples of some pictures: unconditional first, then conditional, each as often as there are pictures. */
async function encodeCondition(
  model: DiffusionModel,
  { prompt, negativePrompt, widthPx, heightPx }: GenerateSettings,
  concepts: readonly Concept[],
  guided: boolean,
): Promise<{ inputsFor: (count: number) => Record<string, HostTensor>; warnings: readonly string[] }> {
  const texts = guided ? [negativePrompt, prompt] : [prompt];
  const prompts = await preparePrompts(model.textEncoders, texts, concepts);
  const encoded = await model.functions.encodePrompts.run(prompts.inputs);
  const zeroFirst = guided && negativePrompt === '' && model.zerosForEmptyPrompt;
  const repeated = ({ data, shape: [batch = 1, ...shape] }: HostTensor, count: number): HostTensor => {
    const size = data.length / batch;
    const out = new Float32Array(batch * count * size);
    for (let b = 0; b < batch; b++) {
      if (b === 0 && zeroFirst) continue;
      for (let i = 0; i < count; i++) out.set(data.subarray(b * size, (b + 1) * size), (b * count + i) * size);
    }
    return { data: out, shape: [batch * count, ...shape] };
  };
  const { addition } = model.unet.config;
  const inputsFor = (count: number): Record<string, HostTensor> => {
    const context = repeated(output(encoded, 'context'), count);
    if (!addition) return { context };
    const sizes = new Array<number[]>(texts.length * count).fill([heightPx, widthPx, 0, 0, heightPx, widthPx]);
    return {
      context,
      pooled: repeated(output(encoded, 'pooled'), count),
      sizes: sizeEmbedding(sizes, addition.sinusoid),
    };
  };
  const tokens = concepts.map(({ token }) => token);
  const unused = tokens.filter((token) => !texts.some((text) => holdsToken(text, token)));
  const unknown = texts.flatMap((text) => text.match(/<[^<>\s]+>/g) ?? []).filter((word) => !tokens.includes(word));
  return {
    inputsFor,
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

/** `[1, 3, H, W]` in [-1, 1] to 8 bits, half to even as the reference's numpy rounds. */
function toPicture({ data, shape }: HostTensor): Picture {
  const [, channels = 3, height = 0, width = 0] = shape;
  const pixels = new Uint8ClampedArray(height * width * channels);
  const area = height * width;
  for (let c = 0; c < channels; c++)
    for (let i = 0; i < area; i++) pixels[i * channels + c] = ((data[c * area + i] ?? 0) / 2 + 0.5) * 255;
  return createPicture(new Uint8Array(pixels.buffer), [height, width, channels]);
}
