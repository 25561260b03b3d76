import { type Concept, type ConceptInfo, checkConcept } from '../concepts/concept.js';
import { TextualInversionError } from '../errors.js';
import { checkModel, type DiffusionModel } from '../models/diffusion-model.js';
import { LEARNING_RATE_SHAPES, type LearningRateShape, type ModelHints } from '../models/model-hints.js';
import { checkSize } from '../models/picture-size.js';
import { numberIn, oneOf, withDefaults } from '../options.js';
import type { ByteSource, Picture } from '../platform.js';
import { Generator } from '../random.js';
import { checkPlaceholder, fillIn, holdsToken, tokenizePrompt } from '../tokenizers/prompt.js';
import { DATASET_DEFAULTS, type DatasetOptions, prepareDataset } from './dataset.js';
import { type Initializer, initialRows } from './initializer.js';
import { encodeDataset } from './latents.js';
import { scaledByBatch } from './learning-rate.js';
import { fingerprint, readCheckpoint, writeCheckpoint } from './resume.js';
import { OBJECT_TEMPLATES, STYLE_TEMPLATES } from './templates.js';
import { type StepReport, startTraining, type TrainingState, train } from './train.js';

/** Kinds of concepts, which are learned in different sentences. */
export const PROPERTIES = ['object', 'style'] as const;
/** What the pictures have in common: a thing, or how they are made. */
export type Property = (typeof PROPERTIES)[number];

/** How a word is learned. Everything but `token` and `initializer` has a default: see `INVERT_DEFAULTS`. */
export interface InvertOptions extends Partial<DatasetOptions> {
  /** The new word, such as `<my-cat>`: no spaces, and none that the model knows. */
  readonly token: string;
  /** Where the rows start: a word or phrase, another concept, or `random`. */
  readonly initializer: Initializer;
  /** Rows to learn. More hold more and compose less. @defaultValue 1, or as many as the initializer's concept has */
  readonly vectors?: number;
  /** Side of the squares that are learned from, in pixels. @defaultValue what the model was trained on */
  readonly sizePx?: number;
  /** Which sentences the word is learned in. @defaultValue 'object' */
  readonly property?: Property;
  /** Own sentences instead, with `{}` for the word. */
  readonly templates?: readonly string[];
  /** One caption per picture instead of sentences, with `{}` for the word; a picture without one takes the sentences. */
  readonly captions?: readonly (string | undefined)[];
  /** Optimiser steps in all, those before a checkpoint included. @defaultValue the model's hint, else 3,000 */
  readonly steps?: number;
  /** Pictures per batch. @defaultValue the model's hint, else 1 */
  readonly batchSize?: number;
  /** Batches per step. @defaultValue 1 */
  readonly gradientAccumulation?: number;
  /** @defaultValue the model's hint, else 2e-3 */
  readonly learningRate?: number;
  /** Multiplies the learning rate by the pictures per step, as the paper does. @defaultValue false */
  readonly scaleLearningRate?: boolean;
  /** @defaultValue the model's hint, else 'constant' */
  readonly learningRateShape?: LearningRateShape;
  /** Steps over which the learning rate rises from zero. @defaultValue 0 */
  readonly warmupSteps?: number;
  /** See `AdamWOptions`. @defaultValue 0 */
  readonly weightDecay?: number;
  /** Longer gradients are shortened to this norm; 0 leaves them alone. @defaultValue 0 */
  readonly maxGradientNorm?: number;
  /** Gamma of min-SNR weighting, which the paper sets to 5; 0 weighs every timestep alike. @defaultValue 0 */
  readonly minSnrGamma?: number;
  /** The same seed gives the same rows, to the byte, on the same engine with as many threads. @defaultValue 0 */
  readonly seed?: number;
  /** Steps between checkpoints; 0 for none but the last. @defaultValue 100 */
  readonly checkpointEverySteps?: number;
  /** A checkpoint to go on from. */
  readonly resume?: ByteSource;
}

/**
 * How a concept is learned if neither the caller nor the model's makers say otherwise: as far and as fast as the reference script's example
 * for SD 1.5 goes (3,000 steps at 5e-4 times 4). The paper takes 5,000 steps at 5e-3 times the batch of its latent diffusion model.
 */
export const INVERT_DEFAULTS: InvertDefaults = {
  property: 'object',
  steps: 3000,
  batchSize: 1,
  gradientAccumulation: 1,
  learningRate: 2e-3,
  scaleLearningRate: false,
  learningRateShape: 'constant',
  warmupSteps: 0,
  weightDecay: 0,
  maxGradientNorm: 0,
  minSnrGamma: 0,
  seed: 0,
  checkpointEverySteps: 100,
  ...DATASET_DEFAULTS,
};

type InvertDefaults = Required<
  Omit<InvertOptions, 'token' | 'initializer' | 'vectors' | 'sizePx' | 'templates' | 'captions' | 'resume'>
>;

/** The defaults for one model: what its makers advise, else ours. */
export function invertDefaults({ steps, batchSize, learningRate, learningRateShape }: ModelHints): InvertDefaults {
  return withDefaults({ steps, batchSize, learningRate, learningRateShape }, INVERT_DEFAULTS);
}

/** How a caller follows a training. */
export interface InvertHooks {
  /** Stops before the next step, after a last checkpoint. */
  readonly signal?: AbortSignal;
  /** Progress of the encoding before the first step, in squares. */
  readonly onEncode?: (done: number, total: number) => void;
  /** After every step; awaited. @param concept - The word as it is now. */
  readonly onStep?: (report: StepReport, concept: () => Concept) => void | Promise<void>;
  /** Every `checkpointEverySteps`, after the last step, and when the run is stopped or fails; awaited. */
  readonly onCheckpoint?: (bytes: Uint8Array, step: number) => void | Promise<void>;
  /** Something that a person should know, such as a caption without the word. */
  readonly onWarning?: (message: string) => void;
}

/**
 * Learns a new word from pictures: everything but its rows stays frozen.
 *
 * Stopped through `signal`, it hands over a last checkpoint and throws ABORTED; `resume` goes on from it, to the byte. So it does before any other error
 * of a step or a hook.
 * @param pictures - Three to five of one thing, or of one style.
 * @throws IMAGE_NONE, IMAGE_FORMAT, TOKEN_INVALID, TOKEN_EXISTS, INITIALIZER_INVALID, OPTION_INVALID, SIZE_INVALID, PROMPT_TOO_LONG, CONCEPT_WIDTH, CHECKPOINT_CORRUPT, CHECKPOINT_MISMATCH,
 *   LOSS_NOT_FINITE, ABORTED
 * @see Gal et al. 2022, arXiv 2208.01618
 */
export async function invert(
  model: DiffusionModel,
  pictures: readonly Picture[],
  options: InvertOptions,
  hooks: InvertHooks = {},
): Promise<Concept> {
  checkModel(model);
  const given = checkOptions(withDefaults(options, invertDefaults(model.hints)));
  const sentences = given.templates ?? model.hints.templates?.[given.property] ?? TEMPLATES[given.property];
  const { signal } = hooks;
  checkPlaceholder(
    model.textEncoders.map(({ tokenizer }) => tokenizer),
    given.token,
  );
  const captions = pictures.map((_, i) => captionsOf(given, sentences, i, hooks.onWarning));
  const sizePx = checkSize('sizePx', given.sizePx ?? model.sizePx, model.autoencoder.config.downscale, model.sizePx);
  const generator = new Generator(given.seed);
  const dataset = prepareDataset(pictures, sizePx, given, generator);
  const rows = await initialRows(model.textEncoders, given.initializer, given.vectors, generator);
  const placeholder = { token: given.token, vectors: rows[0]?.shape[0] ?? 1 };
  for (const { tokenizer } of model.textEncoders)
    for (const caption of new Set(captions.flat())) tokenizePrompt(tokenizer, caption, [placeholder]);

  const seen = fingerprint([...pictures.flatMap(({ data, shape }) => [data, shape]), captions]);
  const facts = { token: given.token, model: model.name, settings: { ...settingsOf(given), sizePx, seen } };
  const { state: begun, start } = given.resume
    ? await readCheckpoint(given.resume, facts)
    : { state: startTraining(rows, generator), start: rows };
  checkConcept(
    { token: given.token, rows: begun.rows, info: {} },
    model.textEncoders.map(({ table }) => table.width),
  );

  const posteriors = await encodeDataset(model, dataset, { signal, onProgress: hooks.onEncode });
  const { learningRate, batchSize, gradientAccumulation } = given;
  const trainOptions = {
    ...given,
    learningRate: {
      peak: given.scaleLearningRate ? scaledByBatch(learningRate, batchSize, gradientAccumulation) : learningRate,
      shape: given.learningRateShape,
      warmupSteps: given.warmupSteps,
    },
  };
  const conceptOf = (state: TrainingState): Concept => ({
    token: given.token,
    rows: state.rows,
    info: { steps: state.step, model: model.name } satisfies ConceptInfo,
  });
  const checkpoint = (state: TrainingState) => hooks.onCheckpoint?.(writeCheckpoint(state, start, facts), state.step);

  let state = begun;
  let saved = begun.step;
  const save = async () => {
    if (state.step === saved) return;
    await checkpoint(state);
    saved = state.step;
  };
  try {
    for await (const next of train(model, { posteriors, captions }, trainOptions, begun, start, signal)) {
      state = next.state;
      for (const warning of next.report.warnings) hooks.onWarning?.(warning);
      const every = given.checkpointEverySteps;
      if (every > 0 && state.step % every === 0) await save();
      await hooks.onStep?.(next.report, () => conceptOf(state));
    }
  } catch (error) {
    const stopped = error instanceof TextualInversionError && error.code === 'ABORTED';
    // Whatever ended the run, what it learned is handed over; what ended it is what the caller hears.
    await save().catch((unsaved: unknown) => {
      if (stopped) throw unsaved;
    });
    throw error;
  }
  await save();
  return conceptOf(state);
}

type Checked = ReturnType<typeof checkOptions>;

function checkOptions(options: InvertDefaults & InvertOptions): InvertDefaults & InvertOptions {
  numberIn('steps', options.steps, { min: 1, integer: true });
  numberIn('batchSize', options.batchSize, { min: 1, integer: true });
  numberIn('gradientAccumulation', options.gradientAccumulation, { min: 1, integer: true });
  numberIn('learningRate', options.learningRate, { min: 0, exclusiveMin: true });
  numberIn('warmupSteps', options.warmupSteps, { min: 0, integer: true });
  numberIn('weightDecay', options.weightDecay, { min: 0 });
  numberIn('maxGradientNorm', options.maxGradientNorm, { min: 0 });
  numberIn('minSnrGamma', options.minSnrGamma, { min: 0 });
  numberIn('checkpointEverySteps', options.checkpointEverySteps, { min: 0, integer: true });
  if (options.vectors !== undefined) numberIn('vectors', options.vectors, { min: 1, max: 32, integer: true });
  oneOf('property', options.property, PROPERTIES);
  oneOf('learningRateShape', options.learningRateShape, LEARNING_RATE_SHAPES);
  oneOf('crop', options.crop, ['center', 'random']);
  const bad = options.templates?.find((template) => !template.includes('{}'));
  if (bad !== undefined || options.templates?.length === 0) {
    throw new TextualInversionError('OPTION_INVALID', {
      where: 'templates',
      expected: 'sentences with {} where the word goes',
      found: JSON.stringify(bad ?? []),
    });
  }
  return options;
}

/** The sentences of one picture. */
function captionsOf(
  { token, captions }: Checked,
  sentences: readonly string[],
  index: number,
  warn?: (message: string) => void,
): string[] {
  const filledIn = (sentence: string): string => fillIn(sentence, token);
  const caption = captions?.[index] && filledIn(captions[index]);
  if (!caption) return sentences.map(filledIn);
  if (holdsToken(caption, token)) return [caption];
  warn?.(`The caption ${JSON.stringify(caption)} does not hold ${token}; the word was put in front.`);
  return [`${token} ${caption}`];
}

const TEMPLATES: Readonly<Record<Property, readonly string[]>> = { object: OBJECT_TEMPLATES, style: STYLE_TEMPLATES };

/** What must not change when a run goes on. */
function settingsOf(options: Checked): Record<string, unknown> {
  const names = [
    'property',
    'vectors',
    'batchSize',
    'gradientAccumulation',
    'learningRate',
    'scaleLearningRate',
    'learningRateShape',
    'warmupSteps',
    'weightDecay',
    'maxGradientNorm',
    'minSnrGamma',
    'seed',
    'crop',
    'flip',
    'background',
  ] as const;
  const settings: Record<string, unknown> = Object.fromEntries(names.map((name) => [name, options[name]]));
  // A constant learning rate does not know how many steps there will be, so such a run may be made longer.
  return options.learningRateShape === 'constant' ? settings : { ...settings, steps: options.steps };
}
