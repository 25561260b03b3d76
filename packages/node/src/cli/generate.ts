import { join } from 'node:path';
import { GENERATE_DEFAULTS, SAMPLERS, type SamplerName } from '@textual-inversion/core';
import { Command } from 'commander';
import { loadConcept } from '../concepts.js';
import { checkWritable, refuseExisting } from '../files.js';
import { generate } from '../generate.js';
import { interruptSignal } from './interrupt.js';
import { decimal, type EngineFlags, hinted, oneNameOf, openModel, whole, withEngine } from './options.js';
import { startProgress, warnings } from './progress.js';

interface GenerateFlags extends EngineFlags {
  readonly concept?: readonly string[];
  readonly prompt: string;
  readonly negative?: string;
  readonly steps?: number;
  readonly guidance?: number;
  readonly sampler?: SamplerName;
  readonly seed?: number;
  readonly count?: number;
  readonly width?: number;
  readonly height?: number;
  readonly scale: number;
  readonly out: string;
  readonly overwrite?: boolean;
  readonly json?: boolean;
}

const D = GENERATE_DEFAULTS;

export function generateCommand(): Command {
  return withEngine(new Command('generate'))
    .description('draw pictures from a prompt, with learned words in it')
    .requiredOption('--prompt <text>', 'what to draw (required)')
    .option('--concept <file...>', 'concepts whose words the prompt may hold')
    .option('--negative <text>', 'what not to draw')
    .addOption(whole('--steps <n>', `steps of the sampler (default: ${D.steps})`, { min: 1, max: 1000 }))
    .addOption(decimal('--guidance <x>', `how strongly the prompt counts ${hinted(D.guidanceScale)}`, { min: 0 }))
    .addOption(oneNameOf('--sampler <name>', `${SAMPLERS.join(', ')} (default: the model's own)`, SAMPLERS))
    .addOption(
      whole(
        '--seed <n>',
        `of the first picture, the next has the next; the same seed gives the same picture (default: ${D.seed})`,
      ),
    )
    .addOption(whole('--count <n>', `pictures to draw (default: ${D.count})`, { min: 1 }))
    .addOption(whole('--width <px>', 'of a picture (default: what the model was trained on)'))
    .addOption(whole('--height <px>', 'of a picture (default: what the model was trained on)'))
    .addOption(whole('--scale <n>', 'enlarge every pixel, with hard edges', { min: 1, max: 64 }).default(1))
    .option('--out <folder>', 'where the pictures go', 'out')
    .option('--overwrite', 'replace pictures that are there')
    .option('--json', 'print the outcome as JSON')
    .action(run);
}

async function run(flags: GenerateFlags): Promise<void> {
  const count = flags.count ?? D.count;
  const seed = flags.seed ?? D.seed;
  const paths = Array.from({ length: count }, (_, i) => join(flags.out, `${slug(flags.prompt)}-${seed + i}.png`));
  await checkWritable(flags.out);
  if (!flags.overwrite) for (const path of paths) refuseExisting(path);
  const concepts = await Promise.all((flags.concept ?? []).map((path) => loadConcept(path)));
  const model = await openModel(flags, flags.json ?? false);
  const signal = interruptSignal(() => process.stderr.write('\nStopping.\n'));
  const progress = flags.json ? undefined : startProgress('Drawing', flags.steps ?? D.steps);
  try {
    const pictures = await generate({
      model,
      concepts,
      prompt: flags.prompt,
      negativePrompt: flags.negative,
      steps: flags.steps,
      guidanceScale: flags.guidance,
      sampler: flags.sampler,
      seed,
      count,
      widthPx: flags.width,
      heightPx: flags.height,
      signal,
      onStep: (step, steps) => progress?.update(step, '', steps), // some samplers call the network more often
      onWarning: warnings(flags.json),
    });
    for (const [i, picture] of pictures.entries())
      await picture.save(paths[i] ?? '', { overwrite: flags.overwrite, scale: flags.scale });
    progress?.stop();
    if (flags.json)
      console.log(JSON.stringify({ pictures: paths.map((path, i) => ({ path, settings: pictures[i]?.settings })) }));
    else console.log(paths.join('\n'));
  } finally {
    progress?.stop();
    model.dispose();
  }
}

function slug(prompt: string): string {
  return (
    prompt
      .replace(/[^\p{L}\p{N}]+/gu, '-')
      .replace(/^-|-$/g, '')
      .slice(0, 60) || 'picture'
  );
}
