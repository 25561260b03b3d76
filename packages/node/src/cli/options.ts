import { TextualInversionError } from '@textual-inversion/core';
import { Command, Option } from 'commander';
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
    .addOption(whole('--threads <n>', 'threads of a CPU engine (default: one per core)'));
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

/** An option that is a whole number. */
export function whole(flags: string, description: string): Option {
  return new Option(flags, description).argParser((text) => parsed(flags, text, Number.isInteger));
}

/** An option that is a number. */
export function decimal(flags: string, description: string): Option {
  return new Option(flags, description).argParser((text) => parsed(flags, text, Number.isFinite));
}

function parsed(flags: string, text: string, ok: (value: number) => boolean): number {
  const value = text.trim() === '' ? Number.NaN : Number(text);
  if (ok(value)) return value;
  throw new TextualInversionError('OPTION_INVALID', {
    where: flags.split(' ')[0] ?? flags,
    expected: ok === Number.isInteger ? 'a whole number' : 'a number',
    found: JSON.stringify(text),
  });
}
