import { TextualInversionError } from '../../errors.js';
import { oneOf } from '../../options.js';
import type { ByteSource, HostTensor } from '../../platform.js';
import { toFloat32 } from '../../weights/half.js';
import { readSafetensors, writeSafetensors } from '../../weights/safetensors.js';
import { readTorchFile, type TorchValue, writeTorchFile } from '../../weights/torch-file.js';
import { type Concept, vectorsOf } from '../concept.js';
import { a1111, compvis } from './a1111.js';
import { diffusers, diffusersBin } from './diffusers.js';
import type { ConceptFile, ConceptFormat } from './format.js';
import { kohya, oneTrainer } from './kohya.js';
import { sdxl } from './sdxl.js';

/** To add a format, write its file and put it here; the most particular first. */
const FORMATS: readonly ConceptFormat[] = [a1111, compvis, sdxl, kohya, oneTrainer, diffusers, diffusersBin];

/** Formats that can be written, with the tools that read them and the extension of their files. */
export const CONCEPT_FORMATS: readonly { name: string; tools: string; extension: string; encoders: number }[] =
  FORMATS.flatMap(({ name, tools, write }) =>
    write
      ? [
          {
            name,
            tools,
            extension: write.container === 'torch' ? (name === 'diffusers-bin' ? '.bin' : '.pt') : '.safetensors',
            encoders: write.encoders,
          },
        ]
      : [],
  );

/** Files of concepts are kilobytes; a checkpoint given by mistake is refused before it is read. */
const MAX_FILE_BYTES = 64 * 1024 * 1024;
const MAX_VECTORS = 1024;

/**
 * Reads a concept in any format in use, whatever its file is called.
 * @param token - The word to give a concept that the file leaves without one. @defaultValue `<name of the file>`
 * @throws CONCEPT_FORMAT, CONCEPT_UNSAFE
 */
export async function readConcept(source: ByteSource, token?: string): Promise<{ concept: Concept; format: string }> {
  const wrong = (found: string, cause?: unknown) =>
    new TextualInversionError('CONCEPT_FORMAT', {
      where: source.name,
      expected: `a concept (${FORMATS.map(({ name }) => name).join(', ')})`,
      found,
      cause,
    });
  if (source.size > MAX_FILE_BYTES) throw wrong(`a file of ${Math.round(source.size / 2 ** 20)} MiB`);
  const file = await readContents(source, wrong);
  for (const { name, read } of FORMATS) {
    const found = read(file);
    if (!found) continue;
    const concept: Concept = {
      token: found.token ?? token ?? tokenOf(source.name),
      rows: found.rows,
      info: found.info ?? {},
    };
    const vectors = vectorsOf(concept);
    const widths = concept.rows.map(({ shape }) => shape[1] ?? 0);
    if (
      vectors < 1 ||
      vectors > MAX_VECTORS ||
      widths.includes(0) ||
      concept.rows.some(({ shape }) => shape[0] !== vectors)
    )
      throw wrong(`rows of shape ${concept.rows.map(({ shape }) => `[${shape.join(', ')}]`).join(' and ')}`);
    if (concept.rows.some(({ data }) => data.some((value) => !Number.isFinite(value))))
      throw wrong('numbers that are not finite');
    return { concept, format: name };
  }
  throw wrong(`${file.size} entries: ${[...file.keys()].slice(0, 4).join(', ')}`);
}

/**
 * Writes a concept for other tools.
 * @param format - One of `CONCEPT_FORMATS`. @defaultValue `diffusers`, or `sdxl` for two encoders
 * @throws OPTION_INVALID (unknown format), CONCEPT_WIDTH (a format for another number of encoders)
 */
export function writeConcept(
  concept: Concept,
  format: string = concept.rows.length === 2 ? 'sdxl' : 'diffusers',
): Uint8Array {
  oneOf(
    'format',
    format,
    CONCEPT_FORMATS.map(({ name }) => name),
  );
  const write = FORMATS.find(({ name }) => name === format)?.write;
  if (!write) throw new Error('listed as writable');
  if (write.encoders !== concept.rows.length) {
    throw new TextualInversionError('CONCEPT_WIDTH', {
      where: `format ${format}`,
      expected: `rows for ${write.encoders} text encoder${write.encoders === 1 ? '' : 's'}`,
      found: `rows for ${concept.rows.length}`,
      fix: `Take ${CONCEPT_FORMATS.filter(({ encoders }) => encoders === concept.rows.length)
        .map(({ name }) => name)
        .join(' or ')}.`,
    });
  }
  const file = write.toFile(concept);
  if (write.container === 'torch') return writeTorchFile(file);
  const tensors = [...file].filter((entry): entry is [string, HostTensor] => isTensor(entry[1]));
  const { steps, model } = concept.info;
  return writeSafetensors(Object.fromEntries(tensors), {
    format: 'pt',
    token: concept.token,
    ...(steps === undefined ? {} : { steps: String(steps) }),
    ...(model === undefined ? {} : { model }),
  });
}

async function readContents(
  source: ByteSource,
  wrong: (found: string, cause?: unknown) => Error,
): Promise<ConceptFile> {
  const start = await source.read(0, Math.min(16, source.size));
  const looksLikeSafetensors = start.length >= 9 && start[8] === 0x7b && start.slice(5, 8).every((byte) => byte === 0);
  if (!looksLikeSafetensors) {
    const value = readTorchFile(await source.read(0, source.size), source.name);
    if (value instanceof Map) return value;
    throw wrong('a PyTorch file that holds no dictionary');
  }
  const { tensors, metadata } = await readSafetensors(source).catch((cause: unknown) => {
    throw wrong(cause instanceof TextualInversionError ? cause.message : 'a damaged safetensors file', cause);
  });
  const file = new Map<string, TorchValue>();
  for (const [name, ref] of tensors) {
    // The checkpoints of a run hold its moments too; the rows are what counts.
    if (metadata['format']?.startsWith('textual-inversion-checkpoint') && !name.startsWith('rows.')) continue;
    file.set(name, { data: toFloat32(await source.read(ref.offset, ref.length), ref.dtype), shape: ref.shape });
  }
  const { token } = metadata;
  const [[only, value] = []] = file;
  // Our own files know their word, also in the formats that have no place for it.
  if (token !== undefined && file.size === 1 && only !== undefined && value !== undefined && only !== 'emb_params')
    return new Map([[token, value]]);
  return file;
}

function isTensor(value: TorchValue): value is HostTensor {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Map);
}

/** `cat-toy.safetensors` -> `<cat-toy>` */
function tokenOf(path: string): string {
  const file = path.split(/[\\/]/).at(-1) ?? path;
  return `<${file.replace(/\.[^.]*$/, '').replace(/[<>\s]+/g, '-')}>`;
}
