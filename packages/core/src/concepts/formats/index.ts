import { TextualInversionError } from '../../errors.js';
import { oneOf } from '../../options.js';
import type { ByteSource, HostTensor } from '../../platform.js';
import { checkToken } from '../../tokenizers/prompt.js';
import { writeSafetensors } from '../../weights/safetensors.js';
import { writeTorchFile } from '../../weights/torch-write.js';
import { type Concept, vectorsOf } from '../concept.js';
import { a1111, compvis } from './a1111.js';
import { readContents } from './contents.js';
import { diffusers } from './diffusers.js';
import { asRows, type ConceptExtension, type ConceptFormat } from './format.js';
import { kohya, oneTrainer } from './kohya.js';
import { sdxl } from './sdxl.js';

/** To add a format, write its file and put it here; the most particular first. */
const FORMATS: readonly ConceptFormat[] = [a1111, compvis, sdxl, kohya, oneTrainer, diffusers];

/** What can be written: who reads it, how its files end (`extension` is the usual one), rows for how many text encoders. */
export const CONCEPT_FORMATS: readonly (Pick<ConceptFormat, 'name' | 'tools' | 'extensions' | 'encoders'> & {
  readonly extension: ConceptExtension;
})[] = FORMATS.map(({ name, tools, extensions, encoders }) => ({
  name,
  tools,
  extension: extensions[0],
  extensions,
  encoders,
}));

const MAX_VECTORS = 1024;

/**
 * Reads a concept in any format in use, whatever its file is called.
 * @param token - The word to give a concept that the file leaves without one. @defaultValue `<name of the file>`
 * @throws CONCEPT_FORMAT, CONCEPT_UNSAFE, TOKEN_INVALID
 */
export async function readConcept(source: ByteSource, token?: string): Promise<{ concept: Concept; format: string }> {
  if (token !== undefined) checkToken(token);
  const wrong = (found: string, cause?: unknown) =>
    new TextualInversionError('CONCEPT_FORMAT', {
      where: source.name,
      expected: `a concept (${FORMATS.map(({ name }) => name).join(', ')})`,
      found,
      cause,
    });
  const contents = await readContents(source, wrong);
  for (const { name, read } of FORMATS) {
    const found = read(contents.file);
    if (!found) continue;
    const concept: Concept = {
      token: found.token ?? contents.token ?? token ?? tokenOf(source.name),
      rows: found.rows,
      info: { ...contents.info, ...found.info },
    };
    checkRows(concept.rows, wrong);
    return { concept, format: name };
  }
  const keys = [...contents.file.keys()];
  throw wrong(`${keys.length} entries: ${keys.slice(0, 4).join(', ')}${keys.length > 4 ? ', …' : ''}`);
}

function checkRows(rows: readonly HostTensor[], wrong: (found: string) => Error): void {
  const [vectors = 0] = rows[0]?.shape ?? [];
  const usual = ({ shape: [count, width = 0] }: HostTensor) => count === vectors && width > 0;
  if (vectors < 1 || vectors > MAX_VECTORS || !rows.every(usual))
    throw wrong(`rows of shape ${rows.map(({ shape }) => `[${shape.join(', ')}]`).join(' and ')}`);
  if (rows.some(({ data }) => data.some((value) => !Number.isFinite(value))))
    throw wrong('numbers that are not finite');
}

/**
 * Writes a concept for other tools.
 * @param chosen - One of `CONCEPT_FORMATS`. @defaultValue `sdxl` for two encoders, `a1111` for `.pt`, otherwise `diffusers`
 * @param extension - Ending of the file's name; it decides between safetensors and PyTorch. @defaultValue the format's usual one
 * @throws OPTION_INVALID (unknown format, or not in such a file), CONCEPT_WIDTH (a format for another number of encoders)
 */
export function writeConcept(concept: Concept, chosen?: string, extension?: string): Uint8Array {
  const format = chosen ?? usualFormat(concept, extension);
  const names = CONCEPT_FORMATS.map(({ name }) => name);
  const writer = FORMATS[names.indexOf(oneOf('format', format, names))];
  if (!writer) throw new Error('a format without a writer');
  if (writer.encoders !== concept.rows.length) {
    const others = FORMATS.filter(({ encoders }) => encoders === concept.rows.length);
    throw new TextualInversionError('CONCEPT_WIDTH', {
      where: `format ${format}`,
      expected: `rows for ${writer.encoders} text encoder${writer.encoders === 1 ? '' : 's'}`,
      found: `rows for ${concept.rows.length}`,
      fix: `Take ${others.map(({ name }) => name).join(' or ')}.`,
    });
  }
  const file = writer.toFile(concept);
  if (extensionFor(writer, extension) !== '.safetensors') return writeTorchFile(file);
  const tensors = [...file].flatMap(([name, value]): [string, HostTensor][] => {
    const rows = asRows(value);
    return rows ? [[name, rows]] : [];
  });
  const { steps, model } = concept.info;
  return writeSafetensors(new Map(tensors), {
    format: 'pt',
    token: concept.token,
    ...(steps === undefined ? {} : { steps: String(steps) }),
    ...(model === undefined ? {} : { model }),
  });
}

function usualFormat({ rows }: Concept, extension: string | undefined): string {
  if (rows.length === 2) return sdxl.name;
  return extension?.toLowerCase() === '.pt' ? a1111.name : diffusers.name;
}

/** @param given - Any ending; one that says nothing (`.concept`) leaves the choice to the format. */
function extensionFor({ name, extensions }: ConceptFormat, given: string | undefined): ConceptExtension {
  const known = FORMATS.flatMap((format) => format.extensions).find((extension) => extension === given?.toLowerCase());
  if (known === undefined) return extensions[0];
  if (extensions.includes(known)) return known;
  throw new TextualInversionError('OPTION_INVALID', {
    where: `format ${name}`,
    expected: `a file ending in ${extensions.join(' or ')}`,
    found: known,
    fix: 'Its tools read no others; choose another name or another format.',
  });
}

/**
 * Joins the two files that some trainers write for SDXL (diffusers: `learned_embeds` and `learned_embeds_2`), CLIP L's first.
 * @throws CONCEPT_WIDTH when either holds rows for more than one encoder, or they hold different numbers of rows
 */
export function pairConcepts(first: Concept, second: Concept): Concept {
  const [l, g] = [first.rows, second.rows];
  if (l.length === 1 && g.length === 1 && vectorsOf(first) === vectorsOf(second))
    return { ...first, rows: [...l, ...g] };
  const shapes = ({ rows }: Concept) => rows.map(({ shape }) => `[${shape.join(', ')}]`).join(' and ');
  throw new TextualInversionError('CONCEPT_WIDTH', {
    where: `${first.token} and ${second.token}`,
    expected: 'as many rows for CLIP L as for CLIP bigG',
    found: `${shapes(first)}, ${shapes(second)}`,
  });
}

/** `cat-toy.safetensors` -> `<cat-toy>` */
function tokenOf(path: string): string {
  const file = path.split(/[\\/]/).at(-1) ?? path;
  return `<${file.replace(/\.[^.]*$/, '').replace(/[<>\s]+/g, '-')}>`;
}
