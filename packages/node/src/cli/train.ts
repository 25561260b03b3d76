import { join } from 'node:path';
import {
  INVERT_DEFAULTS,
  type Initializer,
  invertDefaults,
  LEARNING_RATE_SHAPES,
  type LearningRateShape,
  PROPERTIES,
  type Property,
  TextualInversionError,
} from '@textual-inversion/core';
import { Command } from 'commander';
import { readCaptions } from '../captions.js';
import { loadConcept } from '../concepts.js';
import { listPictures, readPictures } from '../pictures.js';
import { checkFolder, fileName } from '../report/run-folder.js';
import { trainIntoFolder } from '../training-folder.js';
import { interruptSignal } from './interrupt.js';
import { decimal, type EngineFlags, hinted, oneNameOf, openModel, whole, withEngine } from './options.js';
import { startProgress, warnings } from './progress.js';

interface TrainFlags extends EngineFlags {
  readonly images: string;
  readonly token: string;
  readonly init: string;
  readonly vectors?: number;
  readonly steps?: number;
  readonly batch?: number;
  readonly accumulate?: number;
  readonly lr?: number;
  readonly scaleLr?: boolean;
  readonly lrShape?: LearningRateShape;
  readonly warmup?: number;
  readonly weightDecay?: number;
  readonly seed?: number;
  readonly property?: Property;
  readonly template?: readonly string[];
  readonly size?: number;
  readonly captions?: string | false;
  readonly crop?: 'center' | 'random';
  readonly flip?: boolean;
  readonly minSnr?: number;
  readonly previewEvery: number;
  readonly previewPrompt?: string;
  readonly previewCount?: number;
  readonly checkpointEvery?: number;
  readonly out?: string;
  readonly resume?: boolean;
  readonly overwrite?: boolean;
  readonly json?: boolean;
}

const D = INVERT_DEFAULTS;

export function trainCommand(): Command {
  return withEngine(new Command('train'))
    .description('learn a new word from three to five pictures')
    .requiredOption('--images <folder>', 'the pictures (required)')
    .requiredOption('--token <word>', 'the new word, such as "<my-cat>" (required)')
    .requiredOption(
      '--init <word>',
      'a word that says roughly what it is, the file of a concept, or "random" (required)',
    )
    .addOption(whole('--vectors <n>', 'rows to learn (default: 1, or as many as --init has)', { min: 1, max: 32 }))
    .addOption(whole('--steps <n>', `optimiser steps ${hinted(D.steps)}`, { min: 1 }))
    .addOption(whole('--batch <n>', `pictures per step ${hinted(D.batchSize)}`, { min: 1 }))
    .addOption(whole('--accumulate <n>', `batches per step (default: ${D.gradientAccumulation})`, { min: 1 }))
    .addOption(decimal('--lr <x>', `learning rate ${hinted(D.learningRate)}`, { min: 0, exclusiveMin: true }))
    .option('--scale-lr', 'multiply the learning rate by the pictures per step, as the paper does')
    .addOption(
      oneNameOf(
        '--lr-shape <name>',
        `${LEARNING_RATE_SHAPES.join(', ')}: how the learning rate goes ${hinted(D.learningRateShape)}`,
        LEARNING_RATE_SHAPES,
      ),
    )
    .addOption(
      whole('--warmup <n>', `steps over which the learning rate rises (default: ${D.warmupSteps})`, { min: 0 }),
    )
    .addOption(decimal('--weight-decay <x>', `of AdamW (default: ${D.weightDecay})`, { min: 0 }))
    .addOption(whole('--seed <n>', `the same seed gives the same rows (default: ${D.seed})`))
    .addOption(
      oneNameOf(
        '--property <kind>',
        `${PROPERTIES.join(' or ')}: what the pictures share (default: ${D.property})`,
        PROPERTIES,
      ),
    )
    .option('--template <text...>', 'own sentences to learn the word in, with {} for it (default: by --property)')
    .addOption(
      whole('--size <px>', 'side of the squares that are learned from (default: what the model was trained on)'),
    )
    .option(
      '--captions <folder>',
      'a text file per picture, named like it, with {} for the word (default: beside the pictures)',
    )
    .option('--no-captions', 'take sentences, even where captions lie beside the pictures')
    .addOption(
      oneNameOf('--crop <which>', `center or random: square of a picture that is none (default: ${D.crop})`, [
        'center',
        'random',
      ]),
    )
    .option('--flip', 'also learn from the mirrored pictures')
    .addOption(
      decimal('--min-snr <gamma>', `weigh timesteps by min-SNR; 0 for not (default: ${D.minSnrGamma})`, { min: 0 }),
    )
    .addOption(
      whole('--preview-every <n>', 'steps between preview pictures; 0 for the last alone', { min: 0 }).default(100),
    )
    .option('--preview-prompt <text>', 'what a preview shows, with {} for the word (default: a plain one)')
    .addOption(
      whole('--preview-count <n>', 'pictures of a preview (default: 4, or 1 where they have 512 pixels)', { min: 1 }),
    )
    .addOption(
      whole(
        '--checkpoint-every <n>',
        `steps between checkpoints; 0 for the last alone (default: ${D.checkpointEverySteps})`,
        { min: 0 },
      ),
    )
    .option('--out <folder>', 'where everything goes (default: out/<word>)')
    .option('--resume', 'go on from the newest checkpoint in --out')
    .option('--overwrite', 'replace what is in --out')
    .option('--json', 'print the outcome as JSON')
    .action(train);
}

async function train(flags: TrainFlags): Promise<void> {
  const folder = flags.out ?? join('out', fileName(flags.token));
  // What can be seen without the model is refused before its gigabytes are read.
  await checkFolder(folder, { overwrite: flags.overwrite, goOn: flags.resume });
  const initializer = await readInitializer(flags.init);
  await readPictures(flags.images);
  const captions = await readCaptions(flags.captions, await listPictures(flags.images));
  const model = await openModel(flags, flags.json ?? false);
  if (!flags.json) process.stderr.write(`Backend: ${model.backend.name}, ${model.backend.reason}\n`);
  const told = captions.filter((caption) => caption !== undefined).length;
  if (told > 0 && !flags.json) process.stderr.write(`Captions: ${told} of ${captions.length} pictures have one\n`);
  const signal = interruptSignal(() =>
    process.stderr.write('\nStopping after this step; press Ctrl-C again to leave at once.\n'),
  );
  const steps = flags.steps ?? invertDefaults(model.hints).steps;
  const progress = flags.json ? undefined : startProgress('Learning', steps);
  let done = 0;
  try {
    const paths = await trainIntoFolder({
      model,
      folder,
      images: flags.images,
      token: flags.token,
      initializer,
      vectors: flags.vectors,
      steps: flags.steps,
      batchSize: flags.batch,
      gradientAccumulation: flags.accumulate,
      learningRate: flags.lr,
      scaleLearningRate: flags.scaleLr,
      learningRateShape: flags.lrShape,
      warmupSteps: flags.warmup,
      weightDecay: flags.weightDecay,
      seed: flags.seed,
      property: flags.property,
      templates: flags.template,
      sizePx: flags.size,
      captions,
      crop: flags.crop,
      flip: flags.flip,
      minSnrGamma: flags.minSnr,
      previewEverySteps: flags.previewEvery,
      previewPrompt: flags.previewPrompt,
      previewCount: flags.previewCount,
      checkpointEverySteps: flags.checkpointEvery,
      goOn: flags.resume,
      overwrite: flags.overwrite,
      signal,
      onStep: ({ step, loss, seconds }) => {
        done = step;
        progress?.update(step, `loss ${loss.toFixed(4)}, ${seconds.toFixed(2)} s a step`);
      },
      onWarning: warnings(flags.json),
    });
    progress?.stop();
    if (flags.json) console.log(JSON.stringify({ ...paths, steps, backend: model.backend.name }));
    else console.log(`\nConcept   ${paths.concept}\nPreview   ${paths.preview ?? 'none'}\nReport    ${paths.report}`);
  } catch (error) {
    progress?.stop();
    if (error instanceof TextualInversionError && error.code === 'ABORTED') {
      if (!flags.json)
        process.stderr.write(`\nStopped after step ${done}. Go on with the same command and --resume.\n`);
    }
    throw error;
  } finally {
    model.dispose();
  }
}

/** A word, `random`, or the file of a concept. */
async function readInitializer(text: string): Promise<Initializer> {
  if (text === 'random') return { random: true };
  return /\.(safetensors|pt|bin)$/.test(text) ? loadConcept(text) : text;
}
