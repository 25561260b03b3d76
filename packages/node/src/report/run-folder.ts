import { readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { checkWritable, refuseExisting, writeFileSafely } from '../files.js';
import { readPicture, thumbnailPng } from '../pictures.js';
import { type LossPoint, lossPlot } from './loss-plot.js';
import { type LabelledPng, type ReportContents, reportHtml } from './report.js';

const CHECKPOINTS = 'checkpoints';
const PREVIEWS = 'previews';
const REPORT = 'report.html';
const LOSSES = 'losses.json';
/** Longest side of a preview in the report, in pixels: sheets as they are would be hundreds of megabytes. */
const PREVIEW_SIDE_PX = 1024;
const REPLACE = { overwrite: true };

/**
 * Refuses a folder that a training would spoil, or that cannot be written to.
 * @throws OUTPUT_EXISTS, OUTPUT_UNWRITABLE
 */
export async function checkFolder(
  folder: string,
  { overwrite = false, goOn = false }: { overwrite?: boolean; goOn?: boolean },
): Promise<void> {
  await checkWritable(folder);
  if (overwrite || goOn) return;
  const names = await readdir(folder).catch((): string[] => []);
  const ours = names.find((name) => [CHECKPOINTS, PREVIEWS, REPORT].includes(name));
  if (ours !== undefined) refuseExisting(join(folder, ours));
}

/** The folder of one training: what it says of its course, and what an earlier part of the same run has left. */
export class RunFolder {
  readonly report: string;
  readonly lastPreview: string;
  /** The newest checkpoint of an earlier part. */
  readonly checkpoint: string | undefined;
  private readonly losses: LossPoint[];
  private readonly previews: LabelledPng[];
  private begun = false;
  private saved = -1;

  private constructor(
    private readonly path: string,
    /** Where the learned concept goes. */
    readonly concept: string,
    earlier: { checkpoint?: string; losses?: LossPoint[]; previews?: LabelledPng[] },
  ) {
    this.report = join(path, REPORT);
    this.lastPreview = join(path, PREVIEWS, 'last.png');
    this.checkpoint = earlier.checkpoint;
    this.losses = earlier.losses ?? [];
    this.previews = earlier.previews ?? [];
  }

  /** @param goOn - Whether a run is to go on that is there. */
  static async open(path: string, token: string, goOn: boolean): Promise<RunFolder> {
    const concept = join(path, `${fileName(token)}.safetensors`);
    const newest = goOn ? (await numbered(path, CHECKPOINTS, '.safetensors')).at(-1) : undefined;
    if (!newest) return new RunFolder(path, concept, {});
    const [losses, previews] = [await readLosses(path, newest.step), await readPreviews(path, newest.step)];
    return new RunFolder(path, concept, { checkpoint: newest.path, losses, previews });
  }

  /** Whether this run has got as far as a step. Bad input does not. */
  get hasBegun(): boolean {
    return this.begun;
  }

  async addStep({ step, loss }: LossPoint): Promise<void> {
    await this.begin();
    this.losses.push({ step, loss });
    if (step === this.saved) await this.saveLosses();
  }

  async saveCheckpoint(bytes: Uint8Array, step: number): Promise<void> {
    await this.begin();
    await writeFileSafely(join(this.path, CHECKPOINTS, numberedName(step, '.safetensors')), bytes, REPLACE);
    this.saved = step;
    if (this.losses.at(-1)?.step === step) await this.saveLosses(); // else its report is still to come
  }

  async savePreview(png: Uint8Array, step: number): Promise<void> {
    const path = join(this.path, PREVIEWS, numberedName(step, '.png'));
    await writeFileSafely(path, png, REPLACE);
    await writeFileSafely(this.lastPreview, png, REPLACE);
    if (this.previews.at(-1)?.label !== label(step)) this.previews.push(await previewOf(path, step));
  }

  async saveReport(contents: Omit<ReportContents, 'losses' | 'previews'>): Promise<void> {
    const { losses, previews } = this;
    await writeFileSafely(join(this.path, 'loss.svg'), lossPlot(losses), REPLACE);
    await writeFileSafely(this.report, reportHtml({ ...contents, losses, previews }), REPLACE);
  }

  /** Clears what another run has left, whose checkpoints would be taken for newer ones; not before the first step. */
  private async begin(): Promise<void> {
    if (this.begun) return;
    this.begun = true;
    if (this.checkpoint !== undefined) return;
    const old = [
      ...(await numbered(this.path, CHECKPOINTS, '.safetensors')),
      ...(await numbered(this.path, PREVIEWS, '.png')),
    ];
    const last = [this.concept, this.lastPreview, join(this.path, CHECKPOINTS, LOSSES)];
    for (const path of [...old.map((each) => each.path), ...last]) {
      // What cannot be removed cannot be replaced either, and that is told then.
      await rm(path, { force: true }).catch(() => {});
    }
  }

  private async saveLosses(): Promise<void> {
    await writeFileSafely(join(this.path, CHECKPOINTS, LOSSES), JSON.stringify(this.losses), REPLACE);
  }
}

/** `<my-cat>` -> `my-cat`, on any file system: no dots in front, no device of Windows, at most 100 bytes. */
export function fileName(token: string): string {
  const name = token.replace(/[^\p{L}\p{N}._-]+/gu, '').replace(/^\.+/, '');
  let short = '';
  for (const character of name) {
    if (Buffer.byteLength(short + character) > 100) break;
    short += character;
  }
  return short === '' || /^(con|prn|aux|nul|com\d|lpt\d)$/i.test(short) ? `concept${short && `-${short}`}` : short;
}

/** The report does without what cannot be read. */
async function readLosses(folder: string, until: number): Promise<LossPoint[]> {
  try {
    const losses = JSON.parse(await readFile(join(folder, CHECKPOINTS, LOSSES), 'utf8')) as LossPoint[];
    return losses.filter(({ step }) => step <= until);
  } catch {
    return [];
  }
}

async function readPreviews(folder: string, until: number): Promise<LabelledPng[]> {
  const found = (await numbered(folder, PREVIEWS, '.png')).filter(({ step }) => step <= until);
  const read = await Promise.all(found.map(({ path, step }) => previewOf(path, step).catch(() => undefined)));
  return read.filter((preview) => preview !== undefined);
}

async function previewOf(path: string, step: number): Promise<LabelledPng> {
  return { label: label(step), png: await thumbnailPng(await readPicture(path), PREVIEW_SIDE_PX) };
}

/** The files `step-000100.EXT` of a folder, in order. */
async function numbered(folder: string, below: string, extension: string): Promise<{ path: string; step: number }[]> {
  const entries = await readdir(join(folder, below), { withFileTypes: true }).catch(() => []);
  return entries
    .flatMap((entry) => (entry.isFile() ? [entry.name] : []))
    .flatMap((name) => {
      const step = /^step-(\d+)$/.exec(name.slice(0, -extension.length))?.[1];
      return name.endsWith(extension) && step !== undefined
        ? [{ path: join(folder, below, name), step: Number(step) }]
        : [];
    })
    .toSorted((a, b) => a.step - b.step);
}

const numberedName = (step: number, extension: string): string => `step-${String(step).padStart(6, '0')}${extension}`;

const label = (step: number): string => `step ${step}`;
