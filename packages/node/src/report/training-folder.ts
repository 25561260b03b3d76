import { readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import {
  type Concept,
  fillIn,
  INVERT_DEFAULTS,
  invertDefaults,
  numberIn,
  type Property,
  type StepReport,
  TextualInversionError,
  withDefaults,
} from '@textual-inversion/core';
import { readCaptions } from '../captions.js';
import { type SaveConceptOptions, savable } from '../concepts.js';
import { checkWritable, refuseExisting, writeFileSafely } from '../files.js';
import { generate } from '../generate.js';
import { type InvertOptions, invert } from '../invert.js';
import { codec, listPictures, readPicture, readPictures, thumbnailPng } from '../pictures.js';
import { warnProcess } from '../warn-process.js';
import { grid } from './grid.js';
import { type LossPoint, lossPlot } from './loss-plot.js';
import { type LabelledPng, reportHtml } from './report.js';

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
/** Longest side of pictures in the report, in pixels: a page of photographs as they are would be hundreds of megabytes. */
const TRAINING_SIDE_PX = 272;
const PREVIEW_SIDE_PX = 1024;

const CHECKPOINTS = 'checkpoints';
const PREVIEWS = 'previews';
const LOSSES = 'losses.json';

const PREVIEW_PROMPTS: Readonly<Record<Property, string>> = {
  object: 'a photo of {}',
  style: 'a picture in the style of {}',
};

/**
 * Learns a word and leaves a folder that shows how: the concept, `checkpoints/`, `previews/`, `loss.svg` and `report.html`.
 * A preview or a report that fails is a warning: it must not cost what was learned.
 * @throws OUTPUT_EXISTS and what `invert` throws
 */
export async function trainIntoFolder({
  folder,
  previewEverySteps,
  previewPrompt,
  previewCount,
  goOn = false,
  overwrite = false,
  onWarning = warnProcess,
  ...options
}: TrainingFolderOptions): Promise<TrainingFolder> {
  const { model, token } = options;
  const paths = {
    concept: join(folder, `${fileName(token)}.safetensors`),
    report: join(folder, 'report.html'),
    preview: join(folder, PREVIEWS, 'last.png'),
  };
  const write: SaveConceptOptions = { overwrite: true };
  if (previewPrompt?.includes('{}') === false) {
    throw new TextualInversionError('OPTION_INVALID', {
      where: 'previewPrompt',
      expected: 'a text with {} where the word goes',
      found: JSON.stringify(previewPrompt),
    });
  }
  if (previewCount !== undefined) numberIn('previewCount', previewCount, { min: 1, integer: true });
  await checkFolder(folder, { overwrite, goOn });
  const resume = goOn ? await newestCheckpoint(folder) : undefined;
  if (goOn && !resume) onWarning(`There is no checkpoint in ${folder} yet: starting from the beginning.`);

  const files = typeof options.images === 'string' ? await listPictures(options.images) : options.images;
  const pictures = await readPictures(files);
  const captions = await readCaptions(options.captions, files);
  const before = resume ? await readHistory(folder, resume.step) : { losses: [], previews: [] };
  const losses: LossPoint[] = [...before.losses];
  const previews: LabelledPng[] = [...before.previews];
  const property = options.property ?? INVERT_DEFAULTS.property;
  const prompt = fillIn(previewPrompt ?? model.hints.templates?.[property]?.[0] ?? PREVIEW_PROMPTS[property], token);
  const count = previewCount ?? (model.sizePx < 512 ? 4 : 1);
  const training = await Promise.all(
    pictures.map(async (picture, i) => ({
      label: fillIn(captions[i] ?? `picture ${i + 1}`, token),
      png: await thumbnailPng(picture, TRAINING_SIDE_PX),
    })),
  );

  /** What may fail without ending the training; that a person stops it is no failure. */
  const attempt = async (what: string, action: () => Promise<void>): Promise<boolean> => {
    try {
      await action();
      return true;
    } catch (error) {
      if (error instanceof TextualInversionError && error.code === 'ABORTED') throw error;
      onWarning(`${what} failed: ${error instanceof Error ? error.message : String(error)}`);
      return false;
    }
  };
  const drawPreview = async (concept: Concept, step: number) => {
    const drawn = await generate({
      model,
      concepts: [concept],
      prompt,
      count,
      steps: PREVIEW_STEPS,
      seed: PREVIEW_SEED,
      signal: options.signal,
      onWarning,
    });
    const sheet = grid([drawn.map(({ pixels }) => pixels)]);
    if (previews.at(-1)?.label !== stepLabel(step))
      previews.push({ label: stepLabel(step), png: await thumbnailPng(sheet, PREVIEW_SIDE_PX) });
    const png = await codec.encodePng(sheet);
    await writeFileSafely(join(folder, PREVIEWS, `step-${padded(step)}.png`), png, write);
    await writeFileSafely(paths.preview, png, write);
  };
  const preview = (concept: Concept, step: number) =>
    attempt(`The preview after step ${step}`, () => drawPreview(concept, step));
  const writeReport = async (outcome: string) => {
    await writeFileSafely(join(folder, 'loss.svg'), lossPlot(losses), write);
    await writeFileSafely(
      paths.report,
      reportHtml({
        token,
        model: model.name,
        backend: `${model.backend.name} (${model.backend.reason})`,
        training,
        previews,
        previewPrompt: prompt,
        losses,
        settings: settingsOf(options),
        outcome,
      }),
      write,
    );
  };

  const report = (outcome: string) => attempt('The report', () => writeReport(outcome));

  let begun = false;
  /** Bad input fails before the first step, so until then nothing of an earlier run is touched. */
  const begin = async () => {
    // Checkpoints of the run that this one replaces would be taken for newer ones.
    if (!begun && !resume) await clear(folder);
    begun = true;
  };
  let saved = -1;
  const saveLosses = () => writeFileSafely(join(folder, CHECKPOINTS, LOSSES), JSON.stringify(losses), write);
  const onStep = async (step: StepReport, concept: () => Concept) => {
    await begin();
    losses.push({ step: step.step, loss: step.loss });
    if (step.step === saved) await saveLosses();
    await options.onStep?.(step, concept);
    if (previewEverySteps > 0 && step.step % previewEverySteps === 0 && step.step < step.steps)
      await preview(concept(), step.step);
  };
  const onCheckpoint = async (bytes: Uint8Array, step: number) => {
    await begin();
    await writeFileSafely(join(folder, CHECKPOINTS, `step-${padded(step)}.safetensors`), bytes, write);
    saved = step;
    if (losses.at(-1)?.step === step) await saveLosses(); // else its report is still to come
    await options.onCheckpoint?.(bytes, step);
  };
  try {
    const concept = await invert({
      ...options,
      images: files,
      captions,
      resume: resume?.path,
      onStep,
      onCheckpoint,
      onWarning,
    });
    await savable(concept).save(paths.concept, write);
    const drawn = await preview(concept, concept.info.steps ?? 0);
    await report(`The concept is in ${paths.concept}.`);
    return { ...paths, preview: drawn ? paths.preview : undefined };
  } catch (error) {
    if (begun) await report('Stopped before the end; the newest checkpoint is in checkpoints/.');
    throw error;
  }
}

/** Everything that decides the run, filled in. */
function settingsOf({ model, ...options }: InvertOptions): Record<string, unknown> {
  const settings = withDefaults(options, invertDefaults(model.hints));
  const plain = (value: unknown) => ['string', 'number', 'boolean'].includes(typeof value) || Array.isArray(value);
  return Object.fromEntries(
    Object.entries(settings).filter(([name, value]) => !['images', 'captions'].includes(name) && plain(value)),
  );
}

/** `<my-cat>` -> `my-cat` */
export function fileName(token: string): string {
  return token.replace(/[^\p{L}\p{N}._-]+/gu, '') || 'concept';
}

/**
 * Refuses a folder that a training would spoil, or that cannot be written to.
 * @throws OUTPUT_EXISTS, OUTPUT_FAILED
 */
export async function checkFolder(
  folder: string,
  { overwrite = false, goOn = false }: { overwrite?: boolean; goOn?: boolean },
): Promise<void> {
  await checkWritable(folder);
  if (overwrite || goOn) return;
  const names = await readdir(folder).catch((): string[] => []);
  const ours = names.find((name) => [CHECKPOINTS, PREVIEWS, 'report.html'].includes(name));
  if (ours !== undefined) refuseExisting(join(folder, ours));
}

async function newestCheckpoint(folder: string): Promise<{ path: string; step: number } | undefined> {
  const newest = (await steps(folder, CHECKPOINTS, '.safetensors')).at(-1);
  return newest && { path: newest.path, step: newest.step };
}

/** What a run before this one left for the report. */
async function readHistory(
  folder: string,
  step: number,
): Promise<{ losses: readonly LossPoint[]; previews: readonly LabelledPng[] }> {
  const text = await readFile(join(folder, CHECKPOINTS, LOSSES), 'utf8').catch(() => '[]');
  const found = (await steps(folder, PREVIEWS, '.png')).filter((preview) => preview.step <= step);
  return {
    losses: (JSON.parse(text) as LossPoint[]).filter((point) => point.step <= step),
    previews: await Promise.all(
      found.map(async ({ path, step: at }) => ({
        label: stepLabel(at),
        png: await thumbnailPng(await readPicture(path), PREVIEW_SIDE_PX),
      })),
    ),
  };
}

/** Removes the checkpoints and previews of an earlier run, and nothing else. */
async function clear(folder: string): Promise<void> {
  const old = [...(await steps(folder, CHECKPOINTS, '.safetensors')), ...(await steps(folder, PREVIEWS, '.png'))];
  for (const { path } of old) await rm(path, { force: true });
}

/** The files `step-000100.EXT` of a folder, in order. */
async function steps(folder: string, below: string, extension: string): Promise<{ path: string; step: number }[]> {
  const names = await readdir(join(folder, below)).catch((): string[] => []);
  return names
    .flatMap((name) => {
      const step = /^step-(\d+)$/.exec(name.slice(0, -extension.length))?.[1];
      return name.endsWith(extension) && step !== undefined
        ? [{ path: join(folder, below, name), step: Number(step) }]
        : [];
    })
    .toSorted((a, b) => a.step - b.step);
}

const stepLabel = (step: number): string => `step ${step}`;

function padded(step: number): string {
  return String(step).padStart(6, '0');
}
