import { basename } from 'node:path';
import {
  type Concept,
  fillIn,
  INVERT_DEFAULTS,
  invertDefaults,
  numberIn,
  type Property,
  TextualInversionError,
  withDefaults,
} from '@textual-inversion/core';
import { readCaptions } from './captions.js';
import { savable } from './concepts.js';
import { generate } from './generate.js';
import { type InvertOptions, invert } from './invert.js';
import { codec, eachPicture, readPictures, thumbnailPng } from './pictures.js';
import { grid } from './report/grid.js';
import { checkFolder, RunFolder } from './report/run-folder.js';
import { warnProcess } from './warn-process.js';

/** A training, and the folder it goes into. */
export interface TrainingFolderOptions extends Omit<InvertOptions, 'resume'> {
  /** Where everything goes. */
  readonly folder: string;
  /** Steps between previews; 0 for none but the last. */
  readonly previewEverySteps: number;
  /** What a preview shows, with `{}` for the word. @defaultValue the first sentence that the model's makers advise, else 'a photo of {}' */
  readonly previewPrompt?: string;
  /** Pictures of a preview, always of the same seeds, so that a row can be compared with the one before. @defaultValue 4; 1 from 512 x 512 pixels, which take minutes on a processor */
  readonly previewCount?: number;
  /** Goes on from the newest checkpoint of the folder. @defaultValue false */
  readonly goOn?: boolean;
  /** Replaces what an earlier training left there. @defaultValue false */
  readonly overwrite?: boolean;
}

/** Paths that a training left. */
export interface TrainingFolder {
  readonly concept: string;
  readonly report: string;
  /** The last preview; undefined where none could be drawn. */
  readonly preview: string | undefined;
}

const PREVIEW_STEPS = 20;
const PREVIEW_SEED = 1;
const PREVIEW_PROMPTS: Readonly<Record<Property, string>> = {
  object: 'a photo of {}',
  style: 'a picture in the style of {}',
};
/** Longest side of the training's pictures in the report, in pixels. */
const TRAINING_SIDE_PX = 272;

/**
 * Learns a word and leaves a folder that shows how: the concept, `checkpoints/`, `previews/`, `loss.svg` and `report.html`.
 * A preview or a report that fails is a warning: it must not cost what was learned.
 * @throws OUTPUT_EXISTS and what `invert` throws
 */
export async function trainIntoFolder({
  folder: path,
  previewEverySteps,
  previewPrompt,
  previewCount,
  goOn = false,
  overwrite = false,
  onWarning = warnProcess,
  ...options
}: TrainingFolderOptions): Promise<TrainingFolder> {
  const { model, token } = options;
  checkPreview(previewPrompt, previewCount);
  numberIn('previewEverySteps', previewEverySteps, { min: 0, integer: true });
  await checkFolder(path, { overwrite, goOn });
  const images = await eachPicture(options.images);
  const captions = await readCaptions(options.captions, images);
  const training = await Promise.all(
    (await readPictures(images)).map(async (picture, i) => ({
      label: fillIn(captions[i] ?? `picture ${i + 1}`, token),
      png: await thumbnailPng(picture, TRAINING_SIDE_PX),
    })),
  );
  const folder = await RunFolder.open(path, token, goOn);
  if (goOn && !folder.checkpoint) onWarning(`There is no checkpoint in ${path} yet: starting from the beginning.`);

  const property = options.property ?? INVERT_DEFAULTS.property;
  const prompt = fillIn(previewPrompt ?? model.hints.templates?.[property]?.[0] ?? PREVIEW_PROMPTS[property], token);
  const preview = (concept: Concept, step: number) =>
    attempt(`The preview after step ${step}`, onWarning, async () => {
      const drawn = await generate({
        model,
        concepts: [concept],
        prompt,
        count: previewCount ?? (model.sizePx < 512 ? 4 : 1),
        steps: PREVIEW_STEPS,
        seed: PREVIEW_SEED,
        signal: options.signal,
        onWarning,
      });
      await folder.savePreview(await codec.encodePng(grid([drawn.map(({ pixels }) => pixels)])), step);
    });
  const report = (outcome: string) =>
    attempt('The report', onWarning, () =>
      folder.saveReport({
        token,
        model: model.name,
        backend: `${model.backend.name} (${model.backend.reason})`,
        training,
        previewPrompt: prompt,
        settings: settingsOf(options),
        outcome,
      }),
    );

  try {
    const concept = await invert({
      ...options,
      images,
      captions,
      resume: folder.checkpoint,
      onWarning,
      onStep: async (step, conceptNow) => {
        await folder.addStep(step);
        await options.onStep?.(step, conceptNow);
        if (previewEverySteps > 0 && step.step % previewEverySteps === 0 && step.step < step.steps)
          await preview(conceptNow(), step.step);
      },
      onCheckpoint: async (bytes, step) => {
        await folder.saveCheckpoint(bytes, step);
        await options.onCheckpoint?.(bytes, step);
      },
    });
    await savable(concept).save(folder.concept, { overwrite: true });
    const shown = await preview(concept, concept.info.steps ?? 0);
    await report(`The concept is ${basename(folder.concept)}, beside this page.`);
    return { concept: folder.concept, report: folder.report, preview: shown ? folder.lastPreview : undefined };
  } catch (error) {
    if (folder.hasBegun) await report('Stopped before the end; the newest checkpoint is in checkpoints/.');
    throw error;
  }
}

/** Does what may fail without ending a training; that a person stops it is no failure. @returns Whether it worked. */
async function attempt(what: string, warn: (message: string) => void, action: () => Promise<void>): Promise<boolean> {
  try {
    await action();
    return true;
  } catch (error) {
    if (error instanceof TextualInversionError && error.code === 'ABORTED') throw error;
    warn(`${what} failed: ${error instanceof Error ? error.message : String(error)}`);
    return false;
  }
}

function checkPreview(prompt: string | undefined, count: number | undefined): void {
  if (count !== undefined) numberIn('previewCount', count, { min: 1, integer: true });
  if (prompt === undefined || prompt.includes('{}')) return;
  throw new TextualInversionError('OPTION_INVALID', {
    where: 'previewPrompt',
    expected: 'a text with {} where the word goes',
    found: JSON.stringify(prompt),
  });
}

/** Everything that decides the run, filled in. */
function settingsOf({ model, ...options }: InvertOptions): Record<string, unknown> {
  const settings = withDefaults(options, invertDefaults(model.hints));
  const plain = (value: unknown) => ['string', 'number', 'boolean'].includes(typeof value) || Array.isArray(value);
  return Object.fromEntries(
    Object.entries(settings).filter(([name, value]) => !['images', 'captions'].includes(name) && plain(value)),
  );
}
