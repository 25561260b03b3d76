import { TextualInversionError } from '../errors.js';
import type { ClipTextConfig } from '../models/clip-text/config.js';
import { EmbeddingTable } from '../models/clip-text/embedding-table.js';
import { readClipTextConfig } from '../models/clip-text/foreign.js';
import { type ClipText, encodeText, readClipText, tokenEmbeddingName } from '../models/clip-text/model.js';
import { readClipVisionConfig } from '../models/clip-vision/foreign.js';
import { type ClipVision, encodeImage, readClipVision } from '../models/clip-vision/model.js';
import { input, output, toChannelsLast } from '../models/diffusion-model.js';
import type { FileTree, Picture, Runtime, TensorRef } from '../platform.js';
import type { Tensor } from '../tf.js';
import { type ClipTokenizer, loadTokenizer } from '../tokenizers/clip-bpe.js';
import { tokenizePrompt } from '../tokenizers/prompt.js';
import { type Checkpoint, openCheckpoint, readJson } from '../weights/checkpoint.js';
import { dryRead, load } from '../weights/load.js';
import type { Scope } from '../weights/scope.js';
import { type ClipPreprocessing, readClipPreprocessing, toClipPixels } from './preprocess.js';
import { normalized } from './similarity.js';

/** CLIP's two halves: pictures and texts as directions in one space. */
export interface ClipPair {
  /** @returns One direction of length 1 per picture. */
  encodePictures(pictures: readonly Picture[]): Promise<Float32Array[]>;
  /** @returns One direction of length 1 per text; what is too long is cut. */
  encodeTexts(texts: readonly string[]): Promise<Float32Array[]>;
  /** Frees its weights and functions. */
  dispose(): void;
}

export interface LoadClipOptions {
  readonly variant?: string;
  readonly signal?: AbortSignal;
}

/**
 * Loads a CLIP pair.
 * @param tree - A whole CLIP as transformers saves it (`openai/clip-vit-base-patch32`), or a diffusion model that brings its own:
 *   `image_encoder/`, `clip_text_encoder/`, `feature_extractor/` and the tokenizer of the model.
 * @throws MODEL_MISSING_FILE, MODEL_CONFIG, MODEL_UNSUPPORTED, WEIGHT_*, ABORTED
 */
export async function loadClip(
  tree: FileTree,
  runtime: Runtime,
  { signal, ...options }: LoadClipOptions = {},
): Promise<ClipPair> {
  const { halves, tokenizer, preprocessing, textConfig, tokens } = await planClip(tree, options);
  const table = new EmbeddingTable(tokens, textConfig);
  const maxLength = Math.min(tokenizer.maxLength, textConfig.positions);

  const placed: Tensor[] = [];
  const recording: Runtime = {
    ...runtime,
    place: async (ref, placement) => {
      const tensor = await runtime.place(ref, placement);
      placed.push(tensor);
      return tensor;
    },
  };
  let [vision, text]: [ClipVision | undefined, ClipText | undefined] = [undefined, undefined];
  for (const { checkpoint, read } of halves) {
    const loaded = await load(checkpoint, recording, read, { signal });
    vision ??= loaded.vision;
    text ??= loaded.text;
  }
  if (!vision || !text) throw new Error('a plan names both halves');
  const [pictureHalf, textHalf] = [vision, text];

  const encodePicture = runtime.compile('clip-picture', (inputs: Record<string, Tensor>) => ({
    embedding: encodeImage(pictureHalf, toChannelsLast(input(inputs, 'pixels'))).embedding,
  }));
  const encodeOneText = runtime.compile('clip-text', (inputs: Record<string, Tensor>) => ({
    embedding: encodeText(textHalf, input(inputs, 'embedded'), input(inputs, 'ends')).pooled,
  }));
  return {
    async encodePictures(pictures) {
      const directions: Float32Array[] = [];
      for (const picture of pictures) {
        const outputs = await encodePicture.run({ pixels: toClipPixels(picture, preprocessing) });
        directions.push(normalized(output(outputs, 'embedding').data));
      }
      return directions;
    },
    async encodeTexts(texts) {
      const directions: Float32Array[] = [];
      for (const prompt of texts) {
        const { ids, endPosition } = tokenizePrompt({ ...tokenizer, maxLength }, prompt);
        const ends = new Float32Array(maxLength);
        ends[endPosition] = 1;
        const outputs = await encodeOneText.run({
          embedded: { data: await table.rows(ids), shape: [1, maxLength, table.width] },
          ends: { data: ends, shape: [1, maxLength] },
        });
        directions.push(normalized(output(outputs, 'embedding').data));
      }
      return directions;
    },
    dispose() {
      encodePicture.dispose();
      encodeOneText.dispose();
      for (const tensor of placed) tensor.dispose();
    },
  };
}

interface Half {
  readonly checkpoint: Checkpoint;
  readonly read: (scope: Scope) => { vision?: ClipVision; text?: ClipText };
}

async function planClip(tree: FileTree, options: { variant?: string }): Promise<Plan> {
  if (await tree.open('image_encoder/config.json')) return planHalves(tree, options);
  if (await tree.open('config.json')) return planWhole(tree, options);
  throw new TextualInversionError('MODEL_MISSING_FILE', {
    where: tree.name,
    expected: 'image_encoder/config.json of a model with its own CLIP, or config.json of a CLIP',
    found: 'neither',
    fix: 'Name the folder of a CLIP model, such as openai/clip-vit-base-patch32.',
  });
}

interface Plan {
  readonly halves: readonly Half[];
  readonly tokens: TensorRef;
  readonly textConfig: ClipTextConfig;
  readonly tokenizer: ClipTokenizer;
  readonly preprocessing: ClipPreprocessing;
}

/** The two halves in folders of a diffusion model. */
async function planHalves(tree: FileTree, options: { variant?: string }): Promise<Plan> {
  const [image, words] = ['image_encoder', 'clip_text_encoder'];
  const visionConfig = readClipVisionConfig(await config(tree, image), `${tree.name}/${image}/config.json`);
  const textConfig = readClipTextConfig(await config(tree, words), `${tree.name}/${words}/config.json`);
  checkWidths(tree.name, visionConfig.projectionWidth, textConfig.projectionWidth);
  const text = await openCheckpoint(tree, words, options);
  const halves: Half[] = [
    {
      checkpoint: await openCheckpoint(tree, image, options),
      read: (scope) => ({ vision: readClipVision(scope, visionConfig) }),
    },
    { checkpoint: text, read: (scope) => ({ text: readClipText(scope, textConfig) }) },
  ];
  return plan(tree, halves, text, textConfig, 'feature_extractor/preprocessor_config.json', 'tokenizer');
}

/** Both halves in one file. */
async function planWhole(tree: FileTree, options: { variant?: string }): Promise<Plan> {
  const whole = below(tree, 'clip');
  const json = await config(whole, 'clip');
  const visionConfig = readClipVisionConfig(json, `${tree.name}/config.json`);
  const textConfig = readClipTextConfig(json, `${tree.name}/config.json`);
  checkWidths(tree.name, visionConfig.projectionWidth, textConfig.projectionWidth);
  const checkpoint = await openCheckpoint(whole, 'clip', options);
  const read: Half['read'] = (scope) => {
    scope.ignore('logit_scale');
    return { vision: readClipVision(scope, visionConfig), text: readClipText(scope, textConfig) };
  };
  return plan(whole, [{ checkpoint, read }], checkpoint, textConfig, 'clip/preprocessor_config.json', 'clip');
}

async function plan(
  tree: FileTree,
  halves: readonly Half[],
  text: Checkpoint,
  textConfig: ClipTextConfig,
  preprocessor: string,
  tokenizerFolder: string,
): Promise<Plan> {
  for (const { checkpoint, read } of halves) dryRead(checkpoint, read);
  const tokens = text.tensors.get(tokenEmbeddingName((name) => text.tensors.has(name)));
  if (!tokens) throw new Error('readClipText checks that the vocabulary is there');
  return {
    halves,
    tokens,
    textConfig,
    tokenizer: await loadTokenizer(tree, tokenizerFolder),
    preprocessing: readClipPreprocessing(await readJson(tree, preprocessor), `${tree.name}/${preprocessor}`),
  };
}

function config(tree: FileTree, folder: string): Promise<unknown> {
  return readJson(tree, `${folder}/config.json`);
}

function checkWidths(where: string, pictures: number, texts: number | undefined): void {
  if (pictures === texts) return;
  throw new TextualInversionError('MODEL_CONFIG', {
    where,
    expected: 'pictures and texts to be projected to one width',
    found: `${pictures} and ${texts ?? 'no projection of texts'}`,
  });
}

/** The same tree one folder further down, so that its root has a name. */
function below(tree: FileTree, folder: string): FileTree {
  return {
    name: tree.name,
    list: async () => (await tree.list()).map((path) => `${folder}/${path}`),
    open: async (path) => (path.startsWith(`${folder}/`) ? tree.open(path.slice(folder.length + 1)) : undefined),
  };
}
