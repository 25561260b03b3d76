import { CONCEPT_FORMATS } from '@textual-inversion/core';
import { Command } from 'commander';
import { loadConcept } from '../concepts.js';

interface ConvertFlags {
  readonly to?: string;
  readonly token?: string;
  readonly overwrite?: boolean;
  readonly json?: boolean;
}

export function convertCommand(): Command {
  return new Command('convert')
    .description('write a concept for other tools')
    .argument('<in>', 'the file of a concept, in any format')
    .argument('<out>', 'the file to write')
    .option(
      '--to <format>',
      `${CONCEPT_FORMATS.map(({ name }) => name).join(', ')} (default: by the extension of <out>)`,
    )
    .option('--token <word>', 'another word for it')
    .option('--overwrite', 'replace <out>')
    .option('--json', 'print the outcome as JSON')
    .action(async (from: string, to: string, flags: ConvertFlags) => {
      const concept = await loadConcept(from, { token: flags.token });
      await concept.save(to, { format: flags.to, overwrite: flags.overwrite });
      const written = await loadConcept(to);
      const tools = CONCEPT_FORMATS.find(({ name }) => name === (flags.to ?? written.format))?.tools;
      if (flags.json) console.log(JSON.stringify({ from: concept.format, to: flags.to ?? written.format, path: to }));
      else console.log(`${to}: ${concept.format} -> ${flags.to ?? written.format}, read by ${tools}`);
    });
}
