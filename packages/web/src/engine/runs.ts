import { type ByteSource, TextualInversionError } from '@textual-inversion/core';
import {
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

const FACTS = 'run.json';
const STATE = 'state.safetensors';
const PICTURES = 'pictures';

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

interface Facts extends Omit<KeptRun, 'name'> {
  readonly settings: LearnSettings;
  readonly shapes: readonly PixelData['shape'][];
}

/** Trainings that are kept, finished ones too. */
export async function listRuns(): Promise<KeptRun[]> {
  const folder = await privateFolder('runs');
  const runs: KeptRun[] = [];
  for (const key of await namesIn(folder)) {
    const facts = await readFacts(await folder.getDirectoryHandle(key));
    if (facts) runs.push(publicFacts(decodeURIComponent(key), facts));
  }
  return runs;
}

export async function deleteRun(name: string): Promise<void> {
  await removePrivate(await privateFolder('runs'), encodeURIComponent(name));
}

/** A run being kept. */
export interface RunKeeper {
  readonly settings: LearnSettings;
  readonly pictures: readonly PixelData[];
  readonly losses: readonly number[];
  readonly checkpoint: ByteSource | undefined;
  save(checkpoint: Uint8Array, step: number, losses: readonly number[]): Promise<void>;
  finish(): Promise<void>;
}

/** Begins to keep a run; one of the same name is gone. @throws STORAGE_FULL */
export async function keepRun(
  name: string,
  model: string,
  steps: number,
  settings: LearnSettings,
  pictures: readonly PixelData[],
): Promise<RunKeeper> {
  await deleteRun(name);
  const folder = await privateFolder('runs', encodeURIComponent(name));
  await writePrivate(folder, PICTURES, new Blob(pictures.map(({ data }) => new Uint8Array(data))));
  const facts: Facts = {
    ...{ token: settings.token, property: settings.property ?? 'object', model, steps, settings },
    ...{ step: 0, losses: [], finished: false, shapes: pictures.map(({ shape }) => shape) },
  };
  await writePrivate(folder, FACTS, serialize(facts));
  return keeper(folder, facts, pictures, undefined);
}

/** Opens a run to go on with it. @throws CHECKPOINT_CORRUPT, CHECKPOINT_MISMATCH */
export async function openRun(name: string, model: string): Promise<RunKeeper> {
  const folder = await privateFolder('runs', encodeURIComponent(name));
  const facts = await readFacts(folder);
  const bytes = await readPrivate(folder, PICTURES);
  const needed = facts?.shapes.reduce((sum, [height, width, channels]) => sum + height * width * channels, 0);
  if (!facts || !bytes || bytes.size !== needed) {
    throw new TextualInversionError('CHECKPOINT_CORRUPT', {
      where: `run ${name}`,
      expected: 'a training that is kept',
      found: facts ? 'one without its pictures' : 'none',
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
  const state = facts.step > 0 ? await readPrivate(folder, STATE) : undefined;
  return keeper(folder, facts, pictures, state && blobSource(state, `run ${name}`));
}

function keeper(
  folder: FileSystemDirectoryHandle,
  facts: Facts,
  pictures: readonly PixelData[],
  checkpoint: ByteSource | undefined,
): RunKeeper {
  let current = facts;
  return {
    settings: facts.settings,
    pictures,
    losses: facts.losses,
    checkpoint,
    async save(bytes, step, losses) {
      await writePrivate(folder, STATE, bytes);
      current = { ...current, step, losses: losses.slice(0, step) };
      await writePrivate(folder, FACTS, serialize(current));
    },
    async finish() {
      current = { ...current, finished: true };
      await writePrivate(folder, FACTS, serialize(current));
    },
  };
}

async function readFacts(folder: FileSystemDirectoryHandle): Promise<Facts | undefined> {
  const json = await readPrivateJson(folder, FACTS);
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- written by this file alone, in private storage
  return json === undefined ? undefined : (JSON.parse(JSON.stringify(json), reviveArray) as Facts);
}

function publicFacts(name: string, { settings: _, shapes: __, ...facts }: Facts): KeptRun {
  return { name, ...facts };
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
