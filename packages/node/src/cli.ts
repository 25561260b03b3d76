import { type ErrorCode, TextualInversionError } from '@textual-inversion/core';
import { Command, CommanderError } from 'commander';
import { convertCommand } from './cli/convert.js';
import { doctorCommand } from './cli/doctor.js';
import { evaluateCommand } from './cli/evaluate.js';
import { generateCommand } from './cli/generate.js';
import { inspectCommand } from './cli/inspect.js';
import { trainCommand } from './cli/train.js';
import { version } from './version.js';

/** Something failed on the way; what was saved by then stays. */
const FAILED = 1;
/** The caller asked for something that we refuse; nothing was written. */
const REFUSED = 2;
/** Codes of what happens while there is work. */
const ON_THE_WAY: readonly ErrorCode[] = [
  'LOSS_NOT_FINITE',
  'WEIGHT_CHANGED',
  'OUTPUT_FAILED',
  'BACKEND_LOST',
  'BACKEND_MEMORY',
];
/** What a shell says of a process that Ctrl-C ended. */
const INTERRUPTED = 130;

const program = new Command('textual-inversion')
  .description('Teach a text-to-image diffusion model a new word from three to five pictures.')
  .version(version)
  .exitOverride()
  .configureOutput({ outputError: () => {} }); // said below, in the form of every other error
const commands = [
  trainCommand(),
  generateCommand(),
  evaluateCommand(),
  convertCommand(),
  inspectCommand(),
  doctorCommand(),
];
program.addHelpText(
  'after',
  `
Examples:
  textual-inversion train --images photos --token "<my-cat>" --init cat --model ./stable-diffusion-v1-5
  textual-inversion generate --concept out/my-cat/my-cat.safetensors --prompt "a painting of <my-cat>" --model ./stable-diffusion-v1-5

Every command explains its options with --help. Exit status: 0 done, 1 failed on the way (what was saved stays), 2 refused (nothing was written), 130 stopped.`,
);
for (const command of commands) program.addCommand(command.copyInheritedSettings(program));

// Whoever reads may leave, as `head` does; the work goes on without being watched.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
  });
}

try {
  await program.parseAsync();
} catch (error) {
  process.exitCode = explain(error);
}

/** Says what went wrong. @returns The exit status. */
function explain(error: unknown): number {
  if (error instanceof CommanderError && error.exitCode === 0) return 0;
  if (error instanceof CommanderError && error.code === 'commander.help') return REFUSED; // no command: help was shown
  const known = error instanceof CommanderError ? fromCommander(error) : error;
  if (!(known instanceof TextualInversionError)) throw known;
  const { code, message, details } = known;
  if (process.argv.includes('--json'))
    process.stderr.write(`${JSON.stringify({ error: { code, message, details } })}\n`);
  else if (code !== 'ABORTED') process.stderr.write(`\nerror ${code}: ${message}\n`); // the command said that it stops
  if (code === 'ABORTED') return INTERRUPTED;
  return ON_THE_WAY.includes(code) ? FAILED : REFUSED;
}

/** `error: unknown option '--stepz'\n(Did you mean --steps?)` as one of our errors. */
function fromCommander({ code, message }: CommanderError): TextualInversionError {
  const [problem = '', suggestion] = message.replace(/^error: /, '').split('\n');
  const unknown = code === 'commander.unknownOption' || code === 'commander.unknownCommand';
  return new TextualInversionError(unknown ? 'OPTION_UNKNOWN' : 'OPTION_INVALID', {
    where: problem,
    fix: suggestion?.replace(/^\(|\)$/g, '') ?? 'See textual-inversion --help.',
  });
}
