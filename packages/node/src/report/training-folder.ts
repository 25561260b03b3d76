import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import {
  type Concept,
  INVERT_DEFAULTS,
  type Picture,
  type Property,
  type StepReport,
  withDefaults,
} from '@textual-inversion/core';
import { type SaveConceptOptions, savable } from '../concepts.js';
import { refuseExisting, writeFileSafely } from '../files.js';
import { generate } from '../generate.js';
import { type InvertOptions, invert } from '../invert.js';
import { codec, listPictures, readPicture } from '../pictures.js';
import { grid } from './grid.js';
import { type LossPoint, lossPlot } from './loss-plot.js';
import { type LabelledPng, reportHtml } from './report.js';

export interface TrainingFolderOptions extends InvertOptions {
  /** Where everything goes. */
  readonly folder: string;
  /** Steps between previews; 0 for none but the last. */
  readonly previewEverySteps: number;
  /** Goes on from the newest checkpoint of the folder. @defaultValue false */
  readonly goOn?: boolean;
  readonly overwrite?: boolean;
}

/** Paths that a training left. */
export interface TrainingFolder {
  readonly concept: string;
  readonly report: string;
  readonly preview: string;
}

/** Pictures of a preview: the same seeds every time, so that a row can be compared with the one before. */
const PREVIEW_COUNT = 4;
const PREVIEW_STEPS = 20;
const PREVIEW_SEED = 1;

const PREVIEW_PROMPTS: Readonly<Record<Property, (token: string) => string>> = {
  object: (token) => `a photo of ${token}`,
  style: (token) => `a picture in the style of ${token}`,
};

/**
 * Learns a word and leaves a folder that shows how: the concept, `checkpoints/`, `previews/`, `loss.svg` and `report.html`.
 * @throws OUTPUT_EXISTS and what `invert` throws
 */
export async function trainIntoFolder({
  folder,
  previewEverySteps,
  goOn = false,
  overwrite = false,
  ...options
}: TrainingFolderOptions): Promise<TrainingFolder> {
  const { model, token } = options;
  const paths = {
    concept: join(folder, `${fileName(token)}.safetensors`),
    report: join(folder, 'report.html'),
    preview: join(folder, 'previews', 'last.png'),
  };
  const write: SaveConceptOptions = { overwrite: true };
  if (!overwrite && !goOn) for (const path of [paths.concept, join(folder, 'checkpoints')]) refuseExisting(path);
  const resume = goOn ? await newestCheckpoint(folder) : undefined;

  const files = typeof options.images === 'string' ? await listPictures(options.images) : options.images;
  const pictures: Picture[] = [];
  for (const image of files) pictures.push(typeof image === 'string' ? await readPicture(image) : image);
  const losses: LossPoint[] = [];
  const previews: LabelledPng[] = [];
  const property = options.property ?? INVERT_DEFAULTS.property;
  const prompt = (model.hints.templates?.[property]?.[0] ?? PREVIEW_PROMPTS[property]('{}')).replaceAll('{}', token);

  const preview = async (concept: Concept, step: number) => {
    const drawn = await generate({
      model,
      concepts: [concept],
      prompt,
      count: PREVIEW_COUNT,
      steps: PREVIEW_STEPS,
      seed: PREVIEW_SEED,
      signal: options.signal,
    });
    const png = await codec.encodePng(grid([drawn.map(({ pixels }) => pixels)]));
    previews.push({ label: `${prompt} — step ${step}`, png });
    await writeFileSafely(join(folder, 'previews', `step-${padded(step)}.png`), png, write);
    await writeFileSafely(paths.preview, png, write);
  };
  const report = async (outcome: string) => {
    const training = await Promise.all(
      pictures.map(async (picture, i) => ({ label: `picture ${i + 1}`, png: await codec.encodePng(picture) })),
    );
    await writeFileSafely(join(folder, 'loss.svg'), lossPlot(losses), write);
    await writeFileSafely(
      paths.report,
      reportHtml({
        token,
        model: model.name,
        backend: `${model.backend.name} (${model.backend.reason})`,
        training,
        previews,
        losses,
        settings: settingsOf(options),
        outcome,
      }),
      write,
    );
  };

  const onStep = async (step: StepReport, concept: () => Concept) => {
    losses.push({ step: step.step, loss: step.loss });
    await options.onStep?.(step, concept);
    if (previewEverySteps > 0 && step.step % previewEverySteps === 0 && step.step < step.steps)
      await preview(concept(), step.step);
  };
  const onCheckpoint = async (bytes: Uint8Array, step: number) => {
    await writeFileSafely(join(folder, 'checkpoints', `step-${padded(step)}.safetensors`), bytes, write);
    await options.onCheckpoint?.(bytes, step);
  };
  try {
    const concept = await invert({ ...options, images: files, resume, onStep, onCheckpoint });
    await savable(concept).save(paths.concept, write);
    await preview(concept, concept.info.steps ?? 0);
    await report(`The concept is in ${paths.concept}.`);
  } catch (error) {
    if (losses.length > 0) await report('Stopped before the end; the newest checkpoint is in checkpoints/.');
    throw error;
  }
  return paths;
}

/** Everything that decides the run, filled in. */
function settingsOf({ model, ...options }: InvertOptions): Record<string, unknown> {
  const { templates: _, ...hints } = model.hints;
  const settings = withDefaults(options, withDefaults(hints, INVERT_DEFAULTS));
  const plain = (value: unknown) => ['string', 'number', 'boolean'].includes(typeof value) || Array.isArray(value);
  return Object.fromEntries(Object.entries(settings).filter(([name, value]) => name !== 'images' && plain(value)));
}

/** `<my-cat>` -> `my-cat` */
export function fileName(token: string): string {
  return token.replace(/[^\p{L}\p{N}._-]+/gu, '') || 'concept';
}

async function newestCheckpoint(folder: string): Promise<string | undefined> {
  const names = await readdir(join(folder, 'checkpoints')).catch((): string[] => []);
  const newest = names
    .filter((name) => /^step-\d+\.safetensors$/.test(name))
    .toSorted()
    .at(-1);
  return newest && join(folder, 'checkpoints', newest);
}

function padded(step: number): string {
  return String(step).padStart(6, '0');
}
