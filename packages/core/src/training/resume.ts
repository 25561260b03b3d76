import { TextualInversionError } from '../errors.js';
import type { ByteSource, HostTensor } from '../platform.js';
import { Generator, type GeneratorState } from '../random.js';
import { toFloat32 } from '../weights/half.js';
import { readSafetensors, writeSafetensors } from '../weights/safetensors.js';
import type { AdamWState } from './adamw.js';
import type { TrainingState } from './train.js';

const FORMAT = 'textual-inversion-checkpoint-1';

/** What a checkpoint remembers beside the training's own state. */
export interface CheckpointFacts {
  readonly token: string;
  readonly model: string;
  /** Settings that must be the same for the run to go on as if unbroken. */
  readonly settings: Readonly<Record<string, unknown>>;
}

/** Writes a training's state: a safetensors file that any tool can open, whose rows are a concept already. */
export function writeCheckpoint(
  state: TrainingState,
  start: readonly HostTensor[],
  facts: CheckpointFacts,
): Uint8Array {
  const tensors: Record<string, HostTensor> = {};
  state.rows.forEach((rows, i) => {
    const { shape } = rows;
    const moments = state.optimizer[i];
    tensors[`rows.${i}`] = rows;
    tensors[`start.${i}`] = start[i] ?? rows;
    if (!moments) return;
    tensors[`first.${i}`] = { data: moments.first, shape };
    tensors[`second.${i}`] = { data: moments.second, shape };
  });
  return writeSafetensors(tensors, {
    format: FORMAT,
    token: facts.token,
    model: facts.model,
    settings: JSON.stringify(facts.settings),
    step: String(state.step),
    updates: JSON.stringify(state.optimizer.map(({ step }) => step)),
    generator: JSON.stringify(state.generator.state()),
    queue: JSON.stringify(state.queue),
  });
}

/**
 * Reads a checkpoint.
 * @param facts - Of the run that wants to go on; all must be the checkpoint's.
 * @throws CHECKPOINT_CORRUPT, CHECKPOINT_MISMATCH
 */
export async function readCheckpoint(
  source: ByteSource,
  facts: CheckpointFacts,
): Promise<{ state: TrainingState; start: HostTensor[] }> {
  const corrupt = (found: string, cause?: unknown) =>
    new TextualInversionError('CHECKPOINT_CORRUPT', {
      where: source.name,
      expected: 'a checkpoint of a training',
      found,
      fix: 'Take an earlier checkpoint, or start anew.',
      cause,
    });
  const file = await readSafetensors(source).catch((cause: unknown) => {
    throw corrupt('a file that cannot be read', cause);
  });
  const { metadata } = file;
  if (metadata['format'] !== FORMAT) throw corrupt(`format ${JSON.stringify(metadata['format'])}`);
  const parsed = (key: string): unknown => {
    try {
      return JSON.parse(metadata[key] ?? '');
    } catch (cause) {
      throw corrupt(`${key} that is no JSON`, cause);
    }
  };
  /** A list of whole numbers of at least 0. */
  const counts = (key: string, value: unknown): number[] => {
    if (Array.isArray(value) && value.every((entry) => Number.isSafeInteger(entry) && entry >= 0)) return value;
    throw corrupt(`${key} ${JSON.stringify(value)}`);
  };
  checkFacts(source.name, { token: metadata['token'], model: metadata['model'], ...Object(parsed('settings')) }, facts);

  const tensor = async (name: string, like?: HostTensor): Promise<HostTensor> => {
    const ref = file.tensors.get(name);
    if (!ref || ref.dtype !== 'F32') throw corrupt(`no ${name}`);
    if (like && ref.shape.join() !== like.shape.join()) throw corrupt(`${name} of shape [${ref.shape.join(', ')}]`);
    const data = toFloat32(await ref.source.read(ref.offset, ref.length), ref.dtype);
    if (!data.every(Number.isFinite)) throw corrupt(`a number of ${name} that is not finite`);
    return { data, shape: ref.shape };
  };
  const rows: HostTensor[] = [];
  const start: HostTensor[] = [];
  const optimizer: AdamWState[] = [];
  for (const [i, step] of counts('updates', parsed('updates')).entries()) {
    const own = await tensor(`rows.${i}`);
    const [first, second] = [await tensor(`first.${i}`, own), await tensor(`second.${i}`, own)];
    rows.push(own);
    start.push(await tensor(`start.${i}`, own));
    optimizer.push({ step, first: first.data, second: second.data });
  }
  const [step = 0] = counts('step', [parsed('step')]);
  return {
    state: {
      step,
      rows,
      optimizer,
      generator: generatorOf(parsed('generator'), corrupt),
      queue: counts('queue', parsed('queue')),
    },
    start,
  };
}

function generatorOf(state: unknown, corrupt: (found: string, cause?: unknown) => Error): Generator {
  if (!isGeneratorState(state)) throw corrupt('a generator that is none');
  try {
    return Generator.fromState(state);
  } catch (cause) {
    throw corrupt('a generator that cannot go on', cause);
  }
}

function isGeneratorState(value: unknown): value is GeneratorState {
  if (typeof value !== 'object' || value === null || !('twister' in value) || !('spareNormal' in value)) return false;
  const { twister, spareNormal } = value;
  return (
    Array.isArray(twister) && twister.every(Number.isInteger) && (spareNormal === null || Number.isFinite(spareNormal))
  );
}

/** What is kept as a mark alone. */
const NAMES: Readonly<Record<string, string>> = { seen: 'pictures, captions and sentences' };

function checkFacts(where: string, stored: Record<string, unknown>, facts: CheckpointFacts): void {
  const wanted: Record<string, unknown> = { token: facts.token, model: facts.model, ...facts.settings };
  const different = Object.keys(wanted).filter((key) => JSON.stringify(stored[key]) !== JSON.stringify(wanted[key]));
  if (different.length === 0) return;
  const show = (values: Record<string, unknown>) =>
    different.map((key) => `${NAMES[key] ?? key} ${JSON.stringify(values[key]) ?? 'by default'}`).join(', ');
  throw new TextualInversionError('CHECKPOINT_MISMATCH', {
    where,
    expected: show(wanted),
    found: show(stored),
    fix: 'Go on with the settings it was made with, or start anew in another folder, with the learned concept as the initializer.',
    details: { different },
  });
}

/** A short mark of what a run learns from, so that it does not go on with something else. @see Fowler, Noll and Vo, FNV-1a */
export function fingerprint(parts: readonly unknown[]): string {
  let hash = 0x811c9dc5;
  const encoder = new TextEncoder();
  for (const part of parts) {
    const bytes = part instanceof Uint8Array ? part : encoder.encode(JSON.stringify(part));
    for (const byte of bytes) hash = Math.imul(hash ^ byte, 0x01000193);
  }
  return (hash >>> 0).toString(16).padStart(8, '0');
}
