import type { Concept } from '../concepts/concept.js';
import { TextualInversionError } from '../errors.js';
import type { DiffusionModel } from '../models/diffusion-model.js';
import { numberIn, withDefaults } from '../options.js';
import { type GenerateOptions, generate } from '../pipeline/text-to-image.js';
import type { Picture } from '../platform.js';
import { fillIn } from '../tokenizers/prompt.js';
import type { Clip } from './clip.js';

/** What is measured, and on how many pictures. Defaults: see `EVALUATE_DEFAULTS`. */
export interface EvaluateOptions
  extends Pick<GenerateOptions, 'guidanceScale' | 'sampler' | 'signal' | 'negativePrompt'> {
  readonly concept: Concept;
  /** What the concept shows; pictures that it was not learned from tell the most. */
  readonly pictures: readonly Picture[];
  /** Says the concept, with `{}` for the word. @defaultValue 'a photo of {}' */
  readonly prompt?: string;
  /** Places and looks to ask for, with `{}` for the word. @defaultValue four: beach, blue background, two, old photo */
  readonly edits?: readonly string[];
  /** A caption in plain words to compare with: what the word is worth beyond it. */
  readonly caption?: string;
  /** Pictures per prompt. The paper takes 64. @defaultValue 16 */
  readonly count?: number;
  /** Steps of the sampler. @defaultValue 50 */
  readonly steps?: number;
  /** Of the first picture of each prompt; the next has the next. @defaultValue 0 */
  readonly seed?: number;
  /** Called after each picture. @param total - Pictures of all prompts. */
  readonly onProgress?: (done: number, total: number) => void;
}

/** How a concept is measured where nothing is said. */
export const EVALUATE_DEFAULTS = {
  prompt: 'a photo of {}',
  edits: [
    'a photo of {} on the beach',
    'a photo of {} on a blue background',
    'a photo of two {}',
    'an old photo of {}',
  ],
  count: 16,
  steps: 50,
  seed: 0,
} as const;

/** Cosines of CLIP's vectors, from -1 to 1. */
export interface Evaluation {
  /** Drawn pictures of the concept against `pictures`, mean over all pairs: does it look like them? */
  readonly imageSimilarity: number;
  /** `pictures` against each other: as much as can be hoped for. Undefined for a single picture. */
  readonly picturesSimilarity: number | undefined;
  /** Pictures drawn from `caption` against `pictures`. */
  readonly captionSimilarity: number | undefined;
  /** Per edit, its pictures against its words without the concept: is what was asked for there? */
  readonly edits: readonly { readonly prompt: string; readonly textSimilarity: number }[];
  /** Mean over the edits. */
  readonly textSimilarity: number | undefined;
  readonly count: number;
  readonly steps: number;
}

/**
 * Measures a concept as its paper does: how like the pictures it is, and how well it goes into other places.
 * @throws IMAGE_NONE, IMAGE_FORMAT, OPTION_INVALID and what `generate` throws
 * @see Gal et al. 2022, arXiv 2208.01618, section 5.1
 */
export async function evaluate(model: DiffusionModel, clip: Clip, options: EvaluateOptions): Promise<Evaluation> {
  const { concept, pictures, caption, onProgress, ...given } = withDefaults(options, EVALUATE_DEFAULTS);
  const { prompt, edits, count, steps, seed, guidanceScale, sampler, negativePrompt, signal } = given;
  numberIn('count', count, { min: 1, integer: true });
  if (pictures.length === 0)
    throw new TextualInversionError('IMAGE_NONE', { where: 'images', expected: 'pictures', found: 'none' });
  const bad = [prompt, ...edits].find((text) => !text.includes('{}'));
  if (bad !== undefined)
    throw new TextualInversionError('OPTION_INVALID', {
      where: 'prompt',
      expected: 'a text with {} where the word goes',
      found: JSON.stringify(bad),
    });

  const total = count * (1 + edits.length + (caption === undefined ? 0 : 1));
  let done = 0;
  const draw = async (text: string): Promise<Float32Array[]> => {
    const drawn: Picture[] = [];
    // One after another: the seed of a picture is its own, and memory stays that of one.
    for (let i = 0; i < count; i++) {
      const one = {
        prompt: text,
        concepts: [concept],
        steps,
        seed: seed + i,
        guidanceScale,
        sampler,
        negativePrompt,
        signal,
      };
      drawn.push(...(await generate(model, one)).pictures.map(({ pixels }) => pixels));
      onProgress?.(++done, total);
    }
    return clip.embedPictures(drawn, signal);
  };
  const real = await clip.embedPictures(pictures, signal);
  const own = await draw(fillIn(prompt, concept.token));
  const told = caption === undefined ? undefined : await draw(caption);
  const places: { prompt: string; textSimilarity: number }[] = [];
  for (const edit of edits) {
    const made = await draw(fillIn(edit, concept.token));
    const words = await clip.embedTexts([fillIn(edit, '').replace(/\s+/g, ' ').trim()]);
    places.push({ prompt: edit, textSimilarity: similarity(made, words) });
  }
  return {
    imageSimilarity: similarity(own, real),
    picturesSimilarity: real.length > 1 ? amongThemselves(real) : undefined,
    captionSimilarity: told && similarity(told, real),
    edits: places,
    textSimilarity: places.length ? mean(places.map(({ textSimilarity }) => textSimilarity)) : undefined,
    count,
    steps,
  };
}

/** Mean cosine over all pairs of unit vectors. */
export function similarity(a: readonly Float32Array[], b: readonly Float32Array[]): number {
  return mean(a.flatMap((x) => b.map((y) => dot(x, y))));
}

function amongThemselves(vectors: readonly Float32Array[]): number {
  return mean(vectors.flatMap((x, i) => vectors.flatMap((y, j) => (i < j ? [dot(x, y)] : []))));
}

function dot(a: Float32Array, b: Float32Array): number {
  return a.reduce((sum, value, i) => sum + value * (b[i] ?? 0), 0);
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
