import { TextualInversionError } from '../../errors.js';
import type { ByteSource } from '../../platform.js';
import { BYTES, toFloat32 } from '../../weights/half.js';
import { readSafetensors } from '../../weights/safetensors.js';
import { readTorchFile, type TorchValue } from '../../weights/torch-file.js';
import type { ConceptInfo } from '../concept.js';
import type { ConceptFile } from './format.js';

/** What a file holds, and what it says of itself. */
export interface ConceptContents {
  readonly file: ConceptFile;
  readonly token?: string;
  readonly info: ConceptInfo;
}

/** A concept is kilobytes; a checkpoint given by mistake is refused before it is read. */
const MAX_FILE_BYTES = 16 * 1024 * 1024;
const MAX_TENSORS = 32;
const MAX_NUMBERS = 4 * 1024 * 1024;

/**
 * Reads a file of either container; its first bytes say which, not its name.
 * @param wrong - Makes the error for a file that is no concept.
 * @throws CONCEPT_FORMAT, CONCEPT_UNSAFE
 */
export async function readContents(
  source: ByteSource,
  wrong: (found: string, cause?: unknown) => Error,
): Promise<ConceptContents> {
  if (source.size > MAX_FILE_BYTES) throw wrong(`a file of ${Math.round(source.size / 2 ** 20)} MiB`);
  const start = await source.read(0, Math.min(9, source.size));
  // Safetensors begins with the length of its header, which is short here, and the header with a brace.
  const safetensors = start.length === 9 && start[8] === 0x7b && start.slice(4, 8).every((byte) => byte === 0);
  if (safetensors) return readTensors(source, wrong);
  const value = readTorchFile(await source.read(0, source.size), source.name);
  if (value instanceof Map) return { file: value, info: {} };
  if (typeof value === 'object' && value !== null && !Array.isArray(value))
    return { file: new Map([['', value]]), info: {} };
  throw wrong('a PyTorch file that holds no tensors');
}

async function readTensors(
  source: ByteSource,
  wrong: (found: string, cause?: unknown) => Error,
): Promise<ConceptContents> {
  const { tensors, metadata } = await readSafetensors(source).catch((cause: unknown) => {
    throw wrong(cause instanceof TextualInversionError ? cause.message : 'a damaged safetensors file', cause);
  });
  if (tensors.size > MAX_TENSORS) throw wrong(`${tensors.size} tensors, such as ${[...tensors.keys()][0]}`);
  const numbers = [...tensors.values()].reduce((sum, { length, dtype }) => sum + length / BYTES[dtype], 0);
  if (numbers > MAX_NUMBERS) throw wrong(`${numbers} numbers`);
  const file = new Map<string, TorchValue>();
  // The checkpoints of a run hold its moments too; the rows are what counts.
  const ofRun = metadata['format']?.startsWith('textual-inversion-checkpoint');
  const rows = [...tensors.values()].filter(({ name }) => !ofRun || name.startsWith('rows.'));
  for (const ref of rows) {
    const name = ofRun && rows.length === 2 ? (ref.name === 'rows.0' ? 'clip_l' : 'clip_g') : ofRun ? '' : ref.name;
    file.set(name, { data: toFloat32(await source.read(ref.offset, ref.length), ref.dtype), shape: ref.shape });
  }
  // Ours first, then kohya's.
  const steps = Number(metadata['steps'] ?? metadata['step'] ?? metadata['ss_steps']);
  const model = metadata['model'] ?? metadata['ss_sd_model_name'];
  return {
    file,
    token: metadata['token'],
    info: { ...(Number.isSafeInteger(steps) && steps >= 0 ? { steps } : {}), ...(model ? { model } : {}) },
  };
}
