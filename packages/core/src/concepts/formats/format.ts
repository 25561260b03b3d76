import type { HostTensor } from '../../platform.js';
import type { TorchValue } from '../../weights/torch-file.js';
import type { Concept, ConceptInfo } from '../concept.js';

/** What a file holds, whichever container it came in. */
export type ConceptFile = ReadonlyMap<string, TorchValue>;

/** What a format finds in a file. Where it holds no token, the caller makes one from the name of the file. */
export interface ReadConceptFile {
  readonly token?: string;
  readonly rows: readonly HostTensor[];
  readonly info?: ConceptInfo;
}

/** Endings of files: the first is safetensors, the others are `torch.save`'s. */
export type ConceptExtension = '.safetensors' | '.pt' | '.bin';

/** One way in which concepts are kept. */
export interface ConceptFormat {
  readonly name: string;
  /** Who reads it. */
  readonly tools: string;
  /** Reads the file, or says `undefined` when it is another format's. */
  read(this: void, file: ConceptFile): ReadConceptFile | undefined;
  /** The files that its tools read, the usual one first. */
  readonly extensions: readonly [ConceptExtension, ...ConceptExtension[]];
  /** How many text encoders' rows it holds. */
  readonly encoders: number;
  /** What to write for the tools. */
  toFile(this: void, concept: Concept): Map<string, TorchValue>;
}

/** A value as rows `[V, D]`; `[D]` counts as one row. */
export function asRows(value: TorchValue | undefined): HostTensor | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value) || value instanceof Map) return undefined;
  const { data, shape } = value;
  if (shape.length === 1) return { data, shape: [1, data.length] };
  return shape.length === 2 ? { data, shape } : undefined;
}

/** The only rows of a concept for one encoder. */
export function onlyRows({ rows }: Concept): HostTensor {
  const [first] = rows;
  if (!first) throw new Error('a concept without rows');
  return first;
}
