import { TextualInversionError, throwIfAborted } from '../errors.js';
import { EmbeddingTable } from '../models/clip-text/embedding-table.js';
import { readClipTextConfig } from '../models/clip-text/foreign.js';
import { encodeText, readClipText, tokenEmbeddingName } from '../models/clip-text/model.js';
import { readClipVisionConfig } from '../models/clip-vision/foreign.js';
import { encodeImage, readClipVision } from '../models/clip-vision/model.js';
import { input, output, toChannelsLast } from '../models/diffusion-model.js';
import { preparePrompts } from '../models/prompt-inputs.js';
import type { FileTree, Picture, Runtime } from '../platform.js';
import type { Tensor } from '../tf.js';
import { loadTokenizer } from '../tokenizers/clip-bpe.js';
import { openCheckpoint, readJson } from '../weights/checkpoint.js';
import { type LoadOptions, load } from '../weights/load.js';
import type { Scope } from '../weights/scope.js';
import { type ClipPreprocessing, readClipPreprocessing, toClipPixels } from './preprocess.js';

/** Says how near pictures and texts are to each other. */
export interface Clip {
  /** Unit vectors, one per picture. @throws ABORTED between two pictures */
  embedPictures(pictures: readonly Picture[], signal?: AbortSignal): Promise<Float32Array[]>;
  /** Unit vectors, one per text. */
  embedTexts(texts: readonly string[]): Promise<Float32Array[]>;
  /** Frees its weights and functions; the runtime stays. */
  dispose(): void;
}

/** Where the two halves of a CLIP are. */
const LAYOUTS = {
  /** A folder of transformers' `CLIPModel`, such as `clip-vit-large-patch14`. */
  whole: { text: 'clip', vision: 'clip', tokenizer: 'clip', preprocessor: 'clip' },
  /** Beside a diffusion model, as the embedded one has them. */
  parts: {
    text: 'clip_text_encoder',
    vision: 'image_encoder',
    tokenizer: 'tokenizer',
    preprocessor: 'feature_extractor',
  },
};

/**
 * Loads a CLIP: a folder of transformers' `CLIPModel`, or a model's folder that holds `image_encoder`, `clip_text_encoder`,
 * `tokenizer` and, unless its pictures are prepared as OpenAI's CLIP's are, `feature_extractor`. Nothing stays behind when it fails.
 * @throws MODEL_MISSING_FILE, MODEL_CONFIG, MODEL_UNSUPPORTED, WEIGHT_*, ABORTED
 * @see Radford et al. 2021, arXiv 2103.00020
 */
export async function loadClip(
  folder: FileTree,
  engine: Runtime,
  options: Pick<LoadOptions, 'signal'> = {},
): Promise<Clip> {
  const placed: Tensor[] = [];
  const runtime: Runtime = {
    ...engine,
    place: async (ref, placement) => {
      const tensor = await engine.place(ref, placement);
      placed.push(tensor);
      return tensor;
    },
  };
  const whole = (await folder.open('config.json')) !== undefined;
  const tree = whole ? inside(folder, LAYOUTS.whole.text) : folder;
  const at = whole ? LAYOUTS.whole : LAYOUTS.parts;
  if (!whole && !(await tree.open(`${at.text}/config.json`))) {
    throw new TextualInversionError('MODEL_MISSING_FILE', {
      where: folder.name,
      expected: `a CLIP: config.json, or ${at.text} and ${at.vision}`,
      found: 'neither',
      fix: "Name the folder of a CLIPModel of transformers, such as clip-vit-large-patch14's (`clip`; --clip on the command line).",
    });
  }
  const json = async (path: string) => [await readJson(tree, path), `${folder.name}/${path}`] as const;

  const textConfig = readClipTextConfig(...(await json(`${at.text}/config.json`)));
  const visionConfig = readClipVisionConfig(...(await json(`${at.vision}/config.json`)));
  const preprocessing = await readPreprocessing(tree, at.preprocessor, visionConfig.sizePx);
  if (textConfig.projectionWidth !== visionConfig.projectionWidth) {
    throw new TextualInversionError('MODEL_CONFIG', {
      where: `${folder.name}, projection_dim`,
      expected: `${visionConfig.projectionWidth} for texts, as for pictures`,
      found: String(textConfig.projectionWidth),
      fix: 'The two halves belong to different models.',
    });
  }
  const tokenizer = await loadTokenizer(tree, at.tokenizer);
  const textFile = await openCheckpoint(tree, at.text);
  const ref = textFile.tensors.get(tokenEmbeddingName((name) => textFile.tensors.has(name)));
  const table = ref && new EmbeddingTable(ref, textConfig);
  const readText = (scope: Scope) => readClipText(scope, textConfig);
  const readVision = (scope: Scope) => readClipVision(scope, visionConfig);
  const readBoth = (scope: Scope) => {
    scope.ignore('logit_scale');
    return { text: readText(scope), vision: readVision(scope) };
  };
  const free = () => {
    for (const tensor of placed) tensor.dispose();
  };
  const loadBoth = async () =>
    whole
      ? load(textFile, runtime, readBoth, options)
      : {
          text: await load(textFile, runtime, readText, options),
          vision: await load(await openCheckpoint(tree, at.vision), runtime, readVision, options),
        };
  const { text, vision } = await loadBoth().catch((error: unknown) => {
    free();
    throw error;
  });
  if (!table) throw new Error('readClipText checks that the vocabulary is there');
  const encoder = {
    config: textConfig,
    tokenizer: { ...tokenizer, maxLength: Math.min(tokenizer.maxLength, textConfig.positions) },
    table,
    params: text,
    contextLayer: 'last' as const,
  };
  const pictureFunction = runtime.compile('clip-picture', (inputs: Record<'pixels', Tensor>) => ({
    embedding: encodeImage(vision, toChannelsLast(inputs.pixels)).embedding,
  }));
  const textFunction = runtime.compile('clip-text', (inputs: Record<string, Tensor>) => ({
    embedding: encodeText(text, input(inputs, 'embedded.0'), input(inputs, 'ends.0')).pooled,
  }));
  return {
    async embedPictures(pictures, signal) {
      const embeddings: Float32Array[] = [];
      for (const picture of pictures) {
        throwIfAborted(signal, 'looking at pictures');
        const { embedding } = await pictureFunction.run({ pixels: toClipPixels(picture, preprocessing) });
        embeddings.push(unit(embedding.data));
      }
      return embeddings;
    },
    async embedTexts(texts) {
      const embeddings: Float32Array[] = [];
      for (const words of texts) {
        const { inputs } = await preparePrompts([encoder], [words], []);
        const { embedding } = await textFunction.run({
          'embedded.0': output(inputs, 'embedded.0'),
          'ends.0': output(inputs, 'ends.0'),
        });
        embeddings.push(unit(embedding.data));
      }
      return embeddings;
    },
    dispose() {
      pictureFunction.dispose();
      textFunction.dispose();
      free();
    },
  };
}

function unit(vector: Float32Array): Float32Array {
  const norm = Math.hypot(...vector);
  return vector.map((value) => value / norm);
}

/** Pictures are prepared as the folder says, or as for OpenAI's CLIP, in the size that the encoder takes. */
async function readPreprocessing(tree: FileTree, folder: string, sizePx: number): Promise<ClipPreprocessing> {
  const path = `${folder}/preprocessor_config.json`;
  const there = (await tree.open(path)) !== undefined;
  const json = there ? await readJson(tree, path) : { size: sizePx, crop_size: sizePx };
  const preprocessing = readClipPreprocessing(json, `${tree.name}/${path}`);
  if (preprocessing.cropPx === sizePx) return preprocessing;
  throw new TextualInversionError('MODEL_CONFIG', {
    where: `${tree.name}/${path}, crop_size`,
    expected: `${sizePx}, as the picture encoder takes`,
    found: String(preprocessing.cropPx),
  });
}

/** The same files one folder deeper: parts of a model are folders, and a whole CLIP is one itself. */
function inside(tree: FileTree, name: string): FileTree {
  return {
    name: tree.name,
    list: async () => (await tree.list()).map((path) => `${name}/${path}`),
    open: (path) => tree.open(path.slice(name.length + 1)),
  };
}
