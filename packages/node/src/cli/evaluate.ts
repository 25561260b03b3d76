import {
  EVALUATE_DEFAULTS,
  type Evaluation,
  GENERATE_DEFAULTS,
  SAMPLERS,
  type SamplerName,
} from '@textual-inversion/core';
import { Command } from 'commander';
import { loadConcept } from '../concepts.js';
import { evaluate } from '../evaluate.js';
import { readPictures } from '../pictures.js';
import { interruptSignal } from './interrupt.js';
import { decimal, type EngineFlags, hinted, oneNameOf, openModel, whole, withEngine } from './options.js';
import { startProgress } from './progress.js';

interface EvaluateFlags extends EngineFlags {
  readonly concept: string;
  readonly images: string;
  readonly clip?: string;
  readonly prompt?: string;
  readonly edit?: readonly string[];
  readonly caption?: string;
  readonly count?: number;
  readonly steps?: number;
  readonly guidance?: number;
  readonly sampler?: SamplerName;
  readonly seed?: number;
  readonly json?: boolean;
}

const D = EVALUATE_DEFAULTS;

export function evaluateCommand(): Command {
  return withEngine(new Command('evaluate'))
    .description('measure with CLIP how like its pictures a concept is, and how well it goes into other places')
    .requiredOption('--concept <file>', 'the concept (required)')
    .requiredOption('--images <folder>', 'pictures of it, best ones that it was not learned from (required)')
    .option('--clip <folder>', "a CLIPModel of transformers that judges (default: the model's own)")
    .option('--prompt <text>', `says the concept, {} is its word (default: "${D.prompt}")`)
    .option(
      '--edit <text...>',
      `places and looks to ask for (default: ${D.edits.map((edit) => `"${edit}"`).join(', ')})`,
    )
    .option('--caption <text>', 'a caption in plain words to compare with')
    .addOption(whole('--count <n>', `pictures per prompt (default: ${D.count})`, { min: 1 }))
    .addOption(whole('--steps <n>', `steps of the sampler (default: ${D.steps})`, { min: 1 }))
    .addOption(
      decimal('--guidance <x>', `how strongly the prompt counts ${hinted(GENERATE_DEFAULTS.guidanceScale)}`, {
        min: 0,
      }),
    )
    .addOption(oneNameOf('--sampler <name>', `${SAMPLERS.join(', ')} (default: the model's own)`, SAMPLERS))
    .addOption(whole('--seed <n>', `of the first picture of each prompt; the next has the next (default: ${D.seed})`))
    .option('--json', 'print JSON')
    .action(run);
}

async function run(flags: EvaluateFlags): Promise<void> {
  const concept = await loadConcept(flags.concept);
  const images = await readPictures(flags.images);
  const model = await openModel(flags, flags.json ?? false);
  const signal = interruptSignal(() => process.stderr.write('\nStopping.\n'));
  const edits = flags.edit ?? D.edits;
  const total = (flags.count ?? D.count) * (1 + edits.length + (flags.caption === undefined ? 0 : 1));
  const progress = flags.json ? undefined : startProgress('Drawing', total);
  try {
    const found = await evaluate({
      model,
      concept,
      images,
      clip: flags.clip,
      prompt: flags.prompt,
      edits,
      caption: flags.caption,
      count: flags.count,
      steps: flags.steps,
      guidanceScale: flags.guidance,
      sampler: flags.sampler,
      seed: flags.seed,
      signal,
      onProgress: (done) => progress?.update(done),
    });
    progress?.stop();
    console.log(
      flags.json
        ? JSON.stringify({ concept: flags.concept, token: concept.token, ...found }, undefined, 2)
        : table(found),
    );
  } finally {
    progress?.stop();
    model.dispose();
  }
}

function table(found: Evaluation): string {
  const rows: [string, number | undefined][] = [
    ['looks like the pictures', found.imageSimilarity],
    ['… a plain caption does', found.captionSimilarity],
    ['… the pictures among themselves', found.picturesSimilarity],
    ['does what it is asked', found.textSimilarity],
    ...found.edits.map(({ prompt, textSimilarity }): [string, number] => [`… ${prompt}`, textSimilarity]),
  ];
  const shown = rows.filter((row): row is [string, number] => row[1] !== undefined);
  const width = Math.max(...shown.map(([name]) => name.length));
  const lines = shown.map(([name, value]) => `${name.padEnd(width)}  ${value.toFixed(3)}`);
  return [`CLIP similarity, ${found.count} pictures per prompt`, ...lines].join('\n');
}
