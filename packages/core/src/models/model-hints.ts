import { TextualInversionError } from '../errors.js';
import type { FileTree } from '../platform.js';
import { readJson } from '../weights/checkpoint.js';

/** How the learning rate goes after the warm-up: see `LearningRateSchedule.shape`. */
export const LEARNING_RATE_SHAPES = ['constant', 'linear', 'cosine'] as const;
export type LearningRateShape = (typeof LEARNING_RATE_SHAPES)[number];

/** What the makers of a model advise: takes the place of our defaults, and gives way to what a caller says. */
export interface ModelHints {
  readonly steps?: number;
  readonly batchSize?: number;
  readonly learningRate?: number;
  readonly learningRateShape?: LearningRateShape;
  /** For drawing, previews and evaluation. */
  readonly guidanceScale?: number;
  /** Sentences made of words that the model knows. */
  readonly templates?: { readonly object?: readonly string[]; readonly style?: readonly string[] };
}

export const HINTS_FILE = 'textual_inversion.json';

/** Reads the hints that lie in a model's folder; most have none. @throws MODEL_CONFIG */
export async function readHints(tree: FileTree): Promise<ModelHints> {
  if (!(await tree.open(HINTS_FILE))) return {};
  const json = await readJson(tree, HINTS_FILE);
  const where = `${tree.name}/${HINTS_FILE}`;
  if (typeof json !== 'object' || json === null || Array.isArray(json)) throw wrong(where, 'an object', json);
  const { steps, batchSize, learningRate, learningRateShape, guidanceScale, templates } = json as Record<
    string,
    unknown
  >;
  const { object, style } = (templates ?? {}) as Record<string, unknown>;
  const number = (name: string, value: unknown, whole: boolean): number | undefined => {
    if (value === undefined) return undefined;
    const right = typeof value === 'number' && value > 0 && (whole ? Number.isInteger(value) : Number.isFinite(value));
    if (right) return value;
    throw wrong(`${where}: ${name}`, `a ${whole ? 'whole ' : ''}number above zero`, value);
  };
  return {
    steps: number('steps', steps, true),
    batchSize: number('batchSize', batchSize, true),
    learningRate: number('learningRate', learningRate, false),
    learningRateShape: shape(`${where}: learningRateShape`, learningRateShape),
    guidanceScale: number('guidanceScale', guidanceScale, false),
    templates: {
      object: sentences(`${where}: templates.object`, object),
      style: sentences(`${where}: templates.style`, style),
    },
  };
}

function shape(where: string, value: unknown): LearningRateShape | undefined {
  const known = LEARNING_RATE_SHAPES.find((name) => name === value);
  if (value !== undefined && known === undefined) throw wrong(where, LEARNING_RATE_SHAPES.join(', '), value);
  return known;
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
