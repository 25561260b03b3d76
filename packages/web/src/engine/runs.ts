import { type ByteSource, TextualInversionError } from '@textual-inversion/core';
import {
  exclusively,
  namesIn,
  privateFolder,
  readPrivate,
  readPrivateJson,
  removePrivate,
  writePrivate,
} from '../files/private-files.js';
import { blobSource } from '../files/sources.js';
import type { PixelData } from '../images/read.js';
import type { LearnSettings } from './protocol.js';

/** What a run is, and so which of the other files belong to it: those are written before. */
const FACTS = 'run.json';

/** A training that is kept in the storage of this site. */
export interface KeptRun {
  readonly name: string;
  readonly token: string;
  readonly property: string;
  /** Name of the model. */
  readonly model: string;
  /** Steps behind the last checkpoint. */
  readonly step: number;
  readonly steps: number;
  /** Loss of every step up to the checkpoint. */
  readonly losses: readonly number[];
  readonly finished: boolean;
}

interface Facts extends Omit<KeptRun, 'name' | 'finished'> {
  readonly settings: LearnSettings;
  readonly shapes: readonly PixelData['shape'][];
  /** When it was begun, in milliseconds: tells its files from those of one of the same name. */
  readonly begun: number;
}

/** Names of the files besides. */
function filesOf({ begun, step }: Facts) {
  return { pictures: `pictures-${begun}`, state: `state-${begun}-${step}.safetensors` };
}

/** Trainings that are kept, finished ones too. */
export async function listRuns(): Promise<KeptRun[]> {
  const folder = await privateFolder('runs');
  const runs: KeptRun[] = [];
  for (const key of await namesIn(folder)) {
    const facts = await readFacts(await folder.getDirectoryHandle(key));
    if (facts) runs.push(publicFacts(key, facts));
  }
  return runs;
}

/** Deletes a training. @throws STORAGE_BUSY while one goes on */
export async function deleteRun(name: string): Promise<void> {
  await whileTraining(async () => removePrivate(await privateFolder('runs'), encodeURIComponent(name)));
}

/** One training at a time, in whichever tab; what is kept is not deleted meanwhile. @throws STORAGE_BUSY */
export function whileTraining<T>(action: () => Promise<T>): Promise<T> {
  return exclusively('training', action);
}

/** A run being kept. */
export interface RunKeeper {
  readonly settings: LearnSettings;
  readonly pictures: readonly PixelData[];
  readonly step: number;
  readonly losses: readonly number[];
  readonly checkpoint: ByteSource | undefined;
  /** With its first checkpoint the run takes the place of one of the same name. @throws STORAGE_FULL */
  save(checkpoint: Uint8Array, step: number, losses: readonly number[]): Promise<void>;
  /** Leaves nothing of a run that came to no checkpoint. */
  close(): Promise<void>;
}

/** Begins to keep a run. Its pictures lie beside what there is of one of the same name. @throws STORAGE_FULL */
export async function keepRun(
  name: string,
  model: string,
  steps: number,
  settings: LearnSettings,
  pictures: readonly PixelData[],
): Promise<RunKeeper> {
  const folder = await privateFolder('runs', encodeURIComponent(name));
  const saved = await readFacts(folder);
  await tidy(folder, saved);
  const facts: Facts = {
    ...{ token: settings.token, property: settings.property ?? 'object', model, steps, settings },
    ...{ begun: Date.now(), step: 0, losses: [], shapes: pictures.map(({ shape }) => shape) },
  };
  await writePrivate(folder, filesOf(facts).pictures, new Blob(pictures.map(({ data }) => new Uint8Array(data))));
  return keeper(folder, facts, saved, pictures, undefined);
}

/** Opens a run to go on with it. @throws CHECKPOINT_CORRUPT, CHECKPOINT_MISMATCH */
export async function openRun(name: string, model: string): Promise<RunKeeper> {
  const folder = await privateFolder('runs', encodeURIComponent(name));
  const facts = await readFacts(folder);
  const bytes = facts && (await readPrivate(folder, filesOf(facts).pictures));
  const state = facts && (await readPrivate(folder, filesOf(facts).state));
  const needed = facts?.shapes.reduce((sum, [height, width, channels]) => sum + height * width * channels, 0);
  if (!facts || !state || !bytes || bytes.size !== needed) {
    throw new TextualInversionError('CHECKPOINT_CORRUPT', {
      where: `run ${name}`,
      expected: 'a training that is kept',
      found: facts ? 'one without its files' : 'none',
      fix: 'Start anew.',
    });
  }
  if (facts.model !== model) {
    throw new TextualInversionError('CHECKPOINT_MISMATCH', {
      where: `run ${name}`,
      expected: facts.model,
      found: model,
      fix: 'Load the model that it was begun with.',
    });
  }
  const pictures: PixelData[] = [];
  let at = 0;
  for (const shape of facts.shapes) {
    const size = shape[0] * shape[1] * shape[2];
    pictures.push({ shape, data: new Uint8Array(await bytes.slice(at, at + size).arrayBuffer()) });
    at += size;
  }
  return keeper(folder, facts, facts, pictures, blobSource(state, `run ${name}`));
}

/** @param saved - What the folder says. */
function keeper(
  folder: FileSystemDirectoryHandle,
  facts: Facts,
  saved: Facts | undefined,
  pictures: readonly PixelData[],
  checkpoint: ByteSource | undefined,
): RunKeeper {
  let last = saved;
  const close = () => tidy(folder, last).catch(() => {}); // what cannot be removed now goes the next time
  return {
    settings: facts.settings,
    pictures,
    step: facts.step,
    losses: facts.losses,
    checkpoint,
    async save(bytes, step, losses) {
      const next = { ...facts, step, losses: losses.slice(0, step) };
      await writePrivate(folder, filesOf(next).state, bytes);
      await writePrivate(folder, FACTS, serialize(next));
      last = next;
      await close();
    },
    close,
  };
}

/** Removes what does not belong to the run. */
async function tidy(folder: FileSystemDirectoryHandle, facts: Facts | undefined): Promise<void> {
  const needed = facts ? [FACTS, ...Object.values(filesOf(facts))] : [];
  for (const name of await namesIn(folder)) if (!needed.includes(name)) await removePrivate(folder, name);
}

async function readFacts(folder: FileSystemDirectoryHandle): Promise<Facts | undefined> {
  const json = await readPrivateJson(folder, FACTS);
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- written by this file alone, in private storage
  return json === undefined ? undefined : (JSON.parse(JSON.stringify(json), reviveArray) as Facts);
}

function publicFacts(key: string, { token, property, model, step, steps, losses }: Facts): KeptRun {
  const name = decodeURIComponent(key);
  return { name, token, property, model, step, steps, losses, finished: step >= steps };
}

/** A concept to begin with is the only setting with numbers in an array of their own. */
function serialize(facts: Facts): string {
  return JSON.stringify(facts, (_, value: unknown) =>
    value instanceof Float32Array ? { float32: [...value] } : value,
  );
}

function reviveArray(_: string, value: unknown): unknown {
  return typeof value === 'object' && value !== null && 'float32' in value && Array.isArray(value.float32)
    ? Float32Array.from(value.float32)
    : value;
}
