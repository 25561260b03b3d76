import { TextualInversionError } from '../errors.js';
import { shown } from '../options.js';
import type { CompiledFunction, HostTensor, Runtime } from '../platform.js';
import type { SchedulerConfig } from '../schedules/foreign.js';
import type { Tensor } from '../tf.js';
import * as tf from '../tf.js';
import type { ClipTokenizer } from '../tokenizers/clip-bpe.js';
import type { AutoencoderConfig } from './autoencoder/config.js';
import { type Autoencoder, decodeLatents, encodeMoments } from './autoencoder/model.js';
import type { ClipTextConfig } from './clip-text/config.js';
import type { EmbeddingTable } from './clip-text/embedding-table.js';
import type { ModelHints } from './model-hints.js';
import { encodePrompts, type PromptEncoder } from './prompt-context.js';
import type { UnetConfig } from './unet/config.js';
import { denoise, type Unet } from './unet/model.js';

/** Which public line of models a checkpoint belongs to. */
export type ModelFamily = 'sd1' | 'sd2' | 'sdxl';

/** A text encoder with everything it needs to read a prompt. */
export interface TextEncoder extends PromptEncoder {
  readonly config: ClipTextConfig;
  readonly tokenizer: ClipTokenizer;
  readonly table: EmbeddingTable;
}

/** A loaded text-to-image model. */
export interface DiffusionModel {
  /** The folder or address it came from. */
  readonly name: string;
  readonly family: ModelFamily;
  readonly runtime: Runtime;
  readonly textEncoders: readonly TextEncoder[];
  readonly unet: { readonly config: UnetConfig; readonly params: Unet };
  readonly autoencoder: { readonly config: AutoencoderConfig; readonly params: Autoencoder };
  readonly scheduler: SchedulerConfig;
  /** SDXL: an empty negative prompt is all zeros instead of the encoding of an empty text. */
  readonly zerosForEmptyPrompt: boolean;
  /** Side of the pictures it was trained on, in pixels. */
  readonly sizePx: number;
  /** What its makers advise. */
  readonly hints: ModelHints;
  readonly functions: ModelFunctions;
  /** Frees its weights and its compiled functions. */
  dispose(): void;
}

type Named = CompiledFunction<string, string>;

/** The model's parts as functions of numbers. Pictures and latents are `[B, C, H, W]`. */
export interface ModelFunctions {
  /** `PreparedPrompts.inputs` -> `context` `[B, S, D]`, `pooled` `[B, P]` */
  readonly encodePrompts: Named;
  /** `sample`, `time`, `context` (and `pooled`, `sizes` for SDXL) -> `output` `[B, C, H, W]` */
  readonly denoise: Named;
  /** `picture` `[B, 3, H, W]` in [-1, 1] -> `mean`, `logvar` */
  readonly encodePicture: Named;
  /** `latents`, divided by the scaling factor -> `picture`, about [-1, 1] */
  readonly decodeLatents: Named;
}

/** Compiles the parts of a model for its runtime. Nothing happens before a function's first run. */
export function createModelFunctions(
  runtime: Runtime,
  parts: { encoders: readonly PromptEncoder[]; unet: Unet; autoencoder: Autoencoder },
): ModelFunctions {
  const { encoders, unet, autoencoder } = parts;
  const compile = (...given: Parameters<Runtime['compile']>): Named => runtime.compile(...given);
  return {
    encodePrompts: compile('encode-prompts', (inputs) => {
      const prompts = encoders.map((_, i) => ({
        rows: input(inputs, `rows.${i}`),
        embedded: input(inputs, `embedded.${i}`),
        slots: input(inputs, `slots.${i}`),
        ends: input(inputs, `ends.${i}`),
      }));
      const { context, pooled } = encodePrompts(encoders, prompts);
      return { context, pooled };
    }),
    denoise: compile(
      'denoise',
      (inputs) => ({
        output: toChannelsFirst(
          denoise(unet, {
            sample: toChannelsLast(input(inputs, 'sample')),
            time: input(inputs, 'time'),
            context: input(inputs, 'context'),
            pooled: inputs['pooled'],
            sizes: inputs['sizes'],
          }),
        ),
      }),
      { batched: {}, often: true },
    ),
    encodePicture: compile('encode-picture', (inputs) => {
      const { mean, logvar } = encodeMoments(autoencoder, toChannelsLast(input(inputs, 'picture')));
      return { mean: toChannelsFirst(mean), logvar: toChannelsFirst(logvar) };
    }),
    decodeLatents: compile('decode-latents', (inputs) => ({
      picture: toChannelsFirst(decodeLatents(autoencoder, toChannelsLast(input(inputs, 'latents')))),
    })),
  };
}

/** A named input of a function; its absence is a mistake of ours. */
export function input(inputs: Readonly<Record<string, Tensor>>, name: string): Tensor {
  const tensor = inputs[name];
  if (!tensor) throw new Error(`this function needs the input ${name}`);
  return tensor;
}

/** A named output; its absence is a mistake of ours. */
export function output(outputs: Readonly<Record<string, HostTensor>>, name: string): HostTensor {
  const tensor = outputs[name];
  if (!tensor) throw new Error(`this function has no output ${name}`);
  return tensor;
}

/** `[B, C, H, W]` -> `[B, H, W, C]` */
export function toChannelsLast(x: Tensor): Tensor {
  return tf.transpose(x, [0, 2, 3, 1]);
}

/** `[B, H, W, C]` -> `[B, C, H, W]` */
export function toChannelsFirst(x: Tensor): Tensor {
  return tf.transpose(x, [0, 3, 1, 2]);
}

/** Checks that a model is one: whoever calls from JavaScript may have forgotten to wait for it. @throws OPTION_INVALID */
export function checkModel(model: unknown): void {
  if (typeof model === 'object' && model !== null && 'runtime' in model && 'functions' in model) return;
  throw new TextualInversionError('OPTION_INVALID', {
    where: 'model',
    expected: 'what loadModel gives',
    found: model instanceof Promise ? 'a promise of it' : shown(model),
    fix: model instanceof Promise ? 'Write `await loadModel(...)`.' : undefined,
  });
}
