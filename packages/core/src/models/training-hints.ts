import { TextualInversionError } from '../errors.js';
import { numberIn } from '../options.js';
import type { FileTree } from '../platform.js';
import { readJson } from '../weights/checkpoint.js';

/** What the makers of a model advise for teaching it words: takes the place of our defaults, and gives way to what a caller says. */
export interface TrainingHints {
  readonly steps?: number;
  readonly batchSize?: number;
  readonly learningRate?: number;
  /** Sentences made of words that the model knows. */
  readonly templates?: { readonly object?: readonly string[]; readonly style?: readonly string[] };
}

export const HINTS_FILE = 'textual_inversion.json';

/** Reads the hints that lie in a model's folder; most have none. @throws MODEL_CONFIG */
export async function readHints(tree: FileTree): Promise<TrainingHints> {
  if (!(await tree.open(HINTS_FILE))) return {};
  const json = await readJson(tree, HINTS_FILE);
  const where = `${tree.name}/${HINTS_FILE}`;
  if (typeof json !== 'object' || json === null) throw wrong(where, 'an object', json);
  const { steps, batchSize, learningRate, templates } = json as Record<string, unknown>;
  const { object, style } = (templates ?? {}) as Record<string, unknown>;
  const number = (name: string, value: unknown, integer: boolean) =>
    value === undefined
      ? undefined
      : numberIn(`${where}: ${name}`, Number(value), { min: 0, exclusiveMin: true, integer });
  return {
    steps: number('steps', steps, true),
    batchSize: number('batchSize', batchSize, true),
    learningRate: number('learningRate', learningRate, false),
    templates: {
      object: sentences(`${where}: templates.object`, object),
      style: sentences(`${where}: templates.style`, style),
    },
  };
}

function sentences(where: string, value: unknown): readonly string[] | undefined {
  if (value === undefined) return undefined;
  if (
    Array.isArray(value) &&
    value.length > 0 &&
    value.every((entry) => typeof entry === 'string' && entry.includes('{}'))
  )
    return value;
  throw wrong(where, 'sentences with {} where the word goes', value);
}

function wrong(where: string, expected: string, found: unknown): TextualInversionError {
  return new TextualInversionError('MODEL_CONFIG', {
    where,
    expected,
    found: (JSON.stringify(found) ?? 'nothing').slice(0, 100),
  });
}
