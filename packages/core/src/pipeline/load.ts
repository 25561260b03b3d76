import { TextualInversionError } from '../errors.js';
import type { AutoencoderConfig } from '../models/autoencoder/config.js';
import { readAutoencoderConfig } from '../models/autoencoder/foreign.js';
import { readAutoencoder } from '../models/autoencoder/model.js';
import type { ClipTextConfig } from '../models/clip-text/config.js';
import { EmbeddingTable } from '../models/clip-text/embedding-table.js';
import { readClipTextConfig } from '../models/clip-text/foreign.js';
import { readClipText, tokenEmbeddingName } from '../models/clip-text/model.js';
import {
  createModelFunctions,
  type DiffusionModel,
  type ModelFamily,
  type TextEncoder,
} from '../models/diffusion-model.js';
import { readHints } from '../models/model-hints.js';
import type { UnetConfig } from '../models/unet/config.js';
import { readUnetConfig } from '../models/unet/foreign.js';
import { readUnet } from '../models/unet/model.js';
import type { FileTree, Runtime } from '../platform.js';
import { readSchedulerConfig } from '../schedules/foreign.js';
import type { PredictionType } from '../schedules/prediction.js';
import { loadTokenizer } from '../tokenizers/clip-bpe.js';
import { type Checkpoint, type OpenCheckpointOptions, openCheckpoint, readJson } from '../weights/checkpoint.js';
import { dryRead, load } from '../weights/load.js';
import type { Scope } from '../weights/scope.js';

/** Pipeline classes of diffusers whose checkpoints are read, and how many text encoders each has. */
const PIPELINES: Readonly<Record<string, number>> = { StableDiffusionPipeline: 1, StableDiffusionXLPipeline: 2 };

/** Which weights are loaded, and how a caller follows or stops it. */
export interface LoadModelOptions extends OpenCheckpointOptions {
  /** Stops before the next tensor; nothing stays behind. */
  readonly signal?: AbortSignal;
  /** Progress over all parts, after each tensor. @param progress - The part, such as `unet`, and the bytes of all parts read so far. */
  readonly onProgress?: (progress: { part: string; bytes: number; totalBytes: number }) => void;
}

/** The words of a text encoder and their rows. */
export type Vocabulary = Pick<TextEncoder, 'tokenizer' | 'table'>;

/** One part of a model on disk, read dry. */
export interface InspectedPart {
  readonly name: string;
  readonly files: readonly string[];
  readonly tensors: number;
  readonly parameters: number;
}

/** What a model folder holds. */
export interface InspectedModel {
  readonly name: string;
  readonly family: ModelFamily;
  readonly prediction: PredictionType;
  readonly sizePx: number;
  readonly parts: readonly InspectedPart[];
}

/**
 * Reads everything of a model but its numbers: a wrong folder is refused here, before gigabytes are read.
 * @throws MODEL_MISSING_FILE, MODEL_CONFIG, MODEL_UNSUPPORTED, WEIGHT_MISSING, WEIGHT_SHAPE, WEIGHT_UNREAD, WEIGHT_FORMAT
 */
export async function inspectModel(tree: FileTree, options: OpenCheckpointOptions = {}): Promise<InspectedModel> {
  const plan = await planModel(tree, options);
  return {
    name: tree.name,
    family: plan.family,
    prediction: plan.scheduler.prediction,
    sizePx: plan.sizePx,
    parts: plan.parts.map(({ checkpoint }) => ({
      name: checkpoint.name,
      files: checkpoint.files,
      tensors: checkpoint.tensors.size,
      parameters: [...checkpoint.tensors.values()]
        .filter(({ name }) => !name.endsWith('position_ids'))
        .reduce((sum, { shape }) => sum + shape.reduce((product, size) => product * size, 1), 0),
    })),
  };
}

/**
 * Opens the vocabularies of a model's text encoders, in order; the rows stay in their files until they are looked up.
 * @throws What `inspectModel` throws
 */
export async function openVocabularies(tree: FileTree, options: OpenCheckpointOptions = {}): Promise<Vocabulary[]> {
  const { encoders } = await planModel(tree, options);
  return encoders.map(({ tokenizer, table }) => ({ tokenizer, table }));
}

/**
 * Loads a text-to-image model in the diffusers layout. Nothing stays behind when it fails, the runtime neither.
 * @throws What `inspectModel` throws; WEIGHT_NOT_FINITE, ABORTED
 */
export async function loadModel(
  tree: FileTree,
  runtime: Runtime,
  { signal, onProgress, ...options }: LoadModelOptions = {},
): Promise<DiffusionModel> {
  try {
    const plan = await planModel(tree, options);
    const totalBytes = plan.parts.reduce((sum, { bytes }) => sum + bytes, 0);
    let before = 0;
    const loadPart = async <T>(part: PlannedPart<T>): Promise<T> => {
      const params = await load(part.checkpoint, runtime, part.read, {
        signal,
        onProgress: (bytes) => onProgress?.({ part: part.checkpoint.name, bytes: before + bytes, totalBytes }),
      });
      before += part.bytes;
      return params;
    };
    const textEncoders = [];
    for (const { part, config, tokenizer, table } of plan.encoders) {
      textEncoders.push({ config, tokenizer, table, contextLayer: plan.contextLayer, params: await loadPart(part) });
    }
    const unet = await loadPart(plan.unet);
    const autoencoder = await loadPart(plan.autoencoder);
    return {
      name: tree.name,
      family: plan.family,
      runtime,
      textEncoders,
      unet: { config: plan.unetConfig, params: unet },
      autoencoder: { config: plan.autoencoderConfig, params: autoencoder },
      scheduler: plan.scheduler,
      zerosForEmptyPrompt: plan.zerosForEmptyPrompt,
      sizePx: plan.sizePx,
      hints: plan.hints,
      functions: createModelFunctions(runtime, { encoders: textEncoders, unet, autoencoder }),
      dispose: () => runtime.dispose(),
    };
  } catch (error) {
    runtime.dispose();
    throw error;
  }
}

interface PlannedPart<T> {
  readonly checkpoint: Checkpoint;
  readonly read: (scope: Scope) => T;
  readonly bytes: number;
}

/** Reads configurations and headers, and every part dry. */
async function planModel(tree: FileTree, options: OpenCheckpointOptions) {
  const index = asObject(await readJson(tree, 'model_index.json')) ?? {};
  const className = String(index['_class_name']);
  const encoderCount = PIPELINES[className];
  if (encoderCount === undefined) {
    throw new TextualInversionError('MODEL_UNSUPPORTED', {
      where: `${tree.name}/model_index.json`,
      expected: `_class_name to be ${Object.keys(PIPELINES).join(' or ')}`,
      found: className,
    });
  }
  const plan = async <T>(folder: string, read: (scope: Scope) => T): Promise<PlannedPart<T>> => {
    const checkpoint = await openCheckpoint(tree, folder, options);
    const requests = dryRead(checkpoint, read);
    return { checkpoint, read, bytes: requests.reduce((sum, { ref }) => sum + ref.length, 0) };
  };
  const config = async (folder: string) => {
    const where = `${folder}/config.json`;
    return [await readJson(tree, where), `${tree.name}/${where}`] as const;
  };

  const encoders = await Promise.all(
    Array.from({ length: encoderCount }, async (_, i) => {
      const suffix = i === 0 ? '' : `_${i + 1}`;
      const textConfig = readClipTextConfig(...(await config(`text_encoder${suffix}`)));
      const part = await plan(`text_encoder${suffix}`, (scope) => readClipText(scope, textConfig));
      const tokenizer = await loadTokenizer(tree, `tokenizer${suffix}`);
      const table = embeddingTable(part.checkpoint, textConfig);
      return {
        part,
        config: textConfig,
        table,
        tokenizer: { ...tokenizer, maxLength: Math.min(tokenizer.maxLength, textConfig.positions) },
      };
    }),
  );
  const unetConfig = readUnetConfig(...(await config('unet')));
  const autoencoderConfig = readAutoencoderConfig(...(await config('vae')));
  const unet = await plan('unet', (scope) => readUnet(scope, unetConfig));
  const autoencoder = await plan('vae', (scope) => readAutoencoder(scope, autoencoderConfig));
  const scheduler = readSchedulerConfig(await readJson(tree, 'scheduler/scheduler_config.json'));
  const sdxl = encoderCount === 2;
  checkFit(tree.name, encoders, unetConfig, autoencoderConfig);
  return {
    encoders,
    unetConfig,
    autoencoderConfig,
    unet,
    autoencoder,
    scheduler,
    parts: [...encoders.map(({ part }) => part), unet, autoencoder],
    // SD 2.x replaced OpenAI's CLIP, which has its own fast gelu, by OpenCLIP's.
    family: (sdxl ? 'sdxl' : encoders[0]?.config.activation === 'quickGelu' ? 'sd1' : 'sd2') as ModelFamily,
    contextLayer: sdxl ? ('penultimate' as const) : ('last' as const),
    zerosForEmptyPrompt: sdxl && index['force_zeros_for_empty_prompt'] !== false,
    sizePx: unetConfig.sampleSize * autoencoderConfig.downscale,
    hints: await readHints(tree),
  };
}

/** Parts that are right each on their own may still belong to different models. */
function checkFit(
  where: string,
  encoders: readonly { config: ClipTextConfig }[],
  unet: UnetConfig,
  autoencoder: AutoencoderConfig,
): void {
  const said = encoders.reduce((sum, { config }) => sum + config.width, 0);
  const heard = [...unet.down, ...unet.up].find(({ transformers }) => transformers.some((layers) => layers > 0));
  const pairs: readonly [string, number, number][] = [
    ['latent channels of vae and unet', autoencoder.latentChannels, unet.inChannels],
    ['channels in and out of unet', unet.inChannels, unet.outChannels],
    ['context width of text encoders and unet', said, heard?.contextWidth ?? said],
  ];
  for (const [what, expected, found] of pairs) {
    if (expected === found) continue;
    throw new TextualInversionError('MODEL_UNSUPPORTED', {
      where: `${where}: ${what}`,
      expected: String(expected),
      found: String(found),
      fix: 'Inpainting and depth models are not supported, and parts of different models do not fit together.',
    });
  }
}

function embeddingTable(checkpoint: Checkpoint, config: ClipTextConfig): EmbeddingTable {
  const ref = checkpoint.tensors.get(tokenEmbeddingName((name) => checkpoint.tensors.has(name)));
  if (!ref) throw new Error('readClipText checks that the vocabulary is there');
  return new EmbeddingTable(ref, config);
}

function asObject(value: unknown): Record<string, unknown> | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? Object.fromEntries(Object.entries(value))
    : undefined;
}
