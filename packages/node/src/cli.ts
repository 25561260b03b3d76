#!/usr/bin/env node
import { TextualInversionError } from '@textual-inversion/core';
import { Command, CommanderError } from 'commander';
import { convertCommand } from './cli/convert.js';
import { doctorCommand } from './cli/doctor.js';
import { generateCommand } from './cli/generate.js';
import { inspectCommand } from './cli/inspect.js';
import { trainCommand } from './cli/train.js';
import { version } from './version.js';

/** The caller did something that we refuse. */
const REFUSED = 2;

const program = new Command('textual-inversion')
  .description('Teach a text-to-image diffusion model a new word from three to five pictures.')
  .version(version)
  .showSuggestionAfterError()
  .exitOverride();
for (const command of [trainCommand(), generateCommand(), convertCommand(), inspectCommand(), doctorCommand()])
  program.addCommand(command.exitOverride());

try {
  await program.parseAsync();
} catch (error) {
  process.exitCode = exitCodeOf(error);
}

function exitCodeOf(error: unknown): number {
  // Commander has printed what was wrong with the arguments, and the help that was asked for.
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : REFUSED;
  if (!(error instanceof TextualInversionError)) throw error;
  if (error.code === 'ABORTED') return 130;
  const json = process.argv.includes('--json');
  if (json)
    process.stderr.write(
      `${JSON.stringify({ error: { code: error.code, message: error.message, details: error.details } })}\n`,
    );
  else process.stderr.write(`\nerror ${error.code}: ${error.message}\n`);
  return REFUSED;
}
