import { numberIn, oneOf } from '@textual-inversion/core';
import { type Command, Option } from 'commander';
import { BACKEND_NAMES } from '../backends.js';
import { type LoadedModel, loadModel, TINY } from '../models.js';
import { startProgress } from './progress.js';

/** What every command that computes takes. */
export interface EngineFlags {
  readonly model: string;
  readonly variant?: string;
  readonly backend: string;
  readonly threads?: number;
}

export function withEngine(command: Command): Command {
  return command
    .option('--model <name or folder>', 'the embedded model, or a folder in the diffusers layout', TINY)
    .option('--variant <name>', 'which of several sets of weights, such as fp16')
    .option('--backend <name>', `auto, ${BACKEND_NAMES.join(', ')}`, 'auto')
    .addOption(whole('--threads <n>', 'threads of a CPU engine (default: one per core)', { min: 1 }));
}

/** Loads the model a command asks for, with a bar for large ones. */
export async function openModel(
  { model, variant, backend, threads }: EngineFlags,
  quiet: boolean,
): Promise<LoadedModel> {
  const progress = quiet ? undefined : startProgress('Loading', 100);
  try {
    const loaded = await loadModel(model, {
      variant,
      backend,
      threads,
      onProgress: ({ part, bytes, totalBytes }) => progress?.update(Math.round((100 * bytes) / totalBytes), part),
    });
    return loaded;
  } finally {
    progress?.stop();
  }
}

/** What a number may be, both ends included. */
interface Bounds {
  readonly min?: number;
  readonly max?: number;
}

/** An option that is a whole number. @throws OPTION_INVALID while the arguments are read, so before anything is loaded */
export function whole(flags: string, description: string, bounds: Bounds = {}): Option {
  return number(flags, description, { ...bounds, integer: true });
}

/** An option that is a number. @throws OPTION_INVALID */
export function decimal(flags: string, description: string, bounds: Bounds & { exclusiveMin?: boolean } = {}): Option {
  return number(flags, description, bounds);
}

function number(flags: string, description: string, bounds: Parameters<typeof numberIn>[2]): Option {
  return new Option(flags, description).argParser((text) => {
    const isNumber = text.trim() !== '' && !Number.isNaN(Number(text)); // an empty text is zero to JavaScript
    return numberIn(nameOf(flags), isNumber ? Number(text) : text, bounds);
  });
}

/** "(default: …)" of an option that a model's own hints come before. */
export const hinted = (value: unknown): string => `(default: the model's own advice, else ${String(value)})`;

/** An option that is one of some names. @throws OPTION_INVALID with the nearest name */
export function oneNameOf(flags: string, description: string, names: readonly string[]): Option {
  return new Option(flags, description).argParser((text) => oneOf(nameOf(flags), text, names));
}

/** `--steps <n>` -> `--steps` */
function nameOf(flags: string): string {
  return flags.split(' ')[0] ?? flags;
}
