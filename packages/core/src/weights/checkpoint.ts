import { TextualInversionError } from '../errors.js';
import type { FileTree, TensorRef } from '../platform.js';
import { readSafetensors } from './safetensors.js';

/** One part of a model on disk (`unet`, `vae`, ...): the names, types and shapes of its tensors, and where they are. */
export interface Checkpoint {
  /** Folder of the part, such as `unet`; starts every path in messages. */
  readonly name: string;
  readonly tensors: ReadonlyMap<string, TensorRef>;
  /** Files that hold them, relative to the model's folder. */
  readonly files: readonly string[];
}

export interface OpenCheckpointOptions {
  /** Which of several sets of files: `fp16` takes `model.fp16.safetensors`. By default full precision where it is there. */
  readonly variant?: string;
}

/** What diffusers and transformers name the weights of a part. */
const STEMS = ['diffusion_pytorch_model', 'model'];

/**
 * Finds the weight files of one part: whole or in shards, full precision or a variant, several side by side.
 * @param folder - Such as `unet`.
 * @throws MODEL_MISSING_FILE, MODEL_UNSUPPORTED (PyTorch files alone), WEIGHT_FORMAT
 */
export async function openCheckpoint(
  tree: FileTree,
  folder: string,
  options: OpenCheckpointOptions = {},
): Promise<Checkpoint> {
  const { files } = await chooseWeights(tree, folder, options.variant);
  const tensors = new Map<string, TensorRef>();
  for (const path of files) {
    const source = await tree.open(path);
    if (!source) throw missing(tree, path, 'The index names it; download the model again.');
    const file = await readSafetensors(source);
    for (const [name, ref] of file.tensors) {
      if (tensors.has(name)) throw twice(source.name, name);
      tensors.set(name, ref);
    }
  }
  return { name: folder, tensors, files };
}

/** One of several sets of weights of a part. */
export interface ChosenWeights {
  /** What stands for it in the folder: a whole file, or the index of shards. */
  readonly listed: string;
  /** Files that hold the tensors. */
  readonly files: readonly string[];
}

interface WeightSet {
  /** Such as `fp16`; empty for the plain name, which is full precision. */
  readonly variant: string;
  readonly listed: string;
  readonly files: (tree: FileTree) => Promise<string[]>;
}

/**
 * Finds the weights of one part by the names in its folder; nothing but an index is read.
 * @param wanted - As `OpenCheckpointOptions` has it.
 * @throws MODEL_MISSING_FILE, MODEL_UNSUPPORTED (PyTorch files alone), WEIGHT_FORMAT
 */
export async function chooseWeights(
  tree: FileTree,
  folder: string,
  wanted: string | undefined,
): Promise<ChosenWeights> {
  const inFolder = (await tree.list())
    .filter((path) => path.startsWith(`${folder}/`))
    .map((path) => path.slice(folder.length + 1))
    .toSorted();
  const sets = inFolder.flatMap((file) => weightSet(folder, file) ?? []);
  const variants = sets.map(({ variant }) => variant);
  if (sets.length === 0) {
    const torch = inFolder.find((file) => /\.(bin|pt|ckpt|msgpack|onnx)$/.test(file));
    if (torch)
      throw new TextualInversionError('MODEL_UNSUPPORTED', {
        where: `${tree.name}/${folder}`,
        expected: 'weights as .safetensors',
        found: torch,
        fix: `Convert it with diffusers: python -c "from diffusers import DiffusionPipeline as P; P.from_pretrained('${tree.name}').save_pretrained('NEW_FOLDER', safe_serialization=True)"`,
      });
    throw missing(tree, `${folder}/${STEMS[0]}.safetensors`, 'Is this a model in the diffusers layout?');
  }
  // The plain name first; without one, a variant of full precision; then whatever comes first by name, on every system the same.
  const order = wanted === undefined ? ['', 'fp32', 'non_ema', ...variants.toSorted()] : [wanted];
  const variant = order.find((name) => variants.includes(name));
  const set = sets.find((candidate) => candidate.variant === variant);
  if (set) return { listed: set.listed, files: await set.files(tree) };
  throw missing(
    tree,
    `${folder}/*.${wanted}.safetensors`,
    `Variants that are there: ${[...new Set(variants)].map((name) => name || 'full precision').join(', ')}.`,
  );
}

/** What a file in a part's folder stands for: a whole file or the index of shards; undefined for anything else. */
function weightSet(folder: string, file: string): WeightSet | undefined {
  const listed = `${folder}/${file}`;
  for (const stem of STEMS) {
    const whole = new RegExp(`^${stem}(?:\\.([a-z0-9_]+))?\\.safetensors$`).exec(file);
    if (whole) return { variant: whole[1] ?? '', listed, files: async () => [listed] };
    // Both `model.safetensors.index.fp16.json` and `model.fp16.safetensors.index.json` are in use.
    const index = new RegExp(`^${stem}(?:\\.([a-z0-9_]+))?\\.safetensors\\.index(?:\\.([a-z0-9_]+))?\\.json$`).exec(
      file,
    );
    if (index) return { variant: index[1] ?? index[2] ?? '', listed, files: (tree) => shards(tree, folder, file) };
  }
  return undefined;
}

async function shards(tree: FileTree, folder: string, index: string): Promise<string[]> {
  const json = await readJson(tree, `${folder}/${index}`);
  const map = typeof json === 'object' && json !== null && 'weight_map' in json ? json.weight_map : undefined;
  const names = typeof map === 'object' && map !== null ? [...new Set(Object.values(map).map(String))] : [];
  // A name that leaves the folder is no shard of this model.
  if (names.length === 0 || names.some((name) => !/^[\w.-]+\.safetensors$/.test(name)))
    throw new TextualInversionError('WEIGHT_FORMAT', {
      where: `${tree.name}/${folder}/${index}`,
      expected: 'a weight_map from tensors to files beside it',
      found: JSON.stringify(names).slice(0, 120),
    });
  return names.toSorted().map((name) => `${folder}/${name}`);
}

/** What Python writes into JSON that JSON does not have, such as `"lambda_min_clipped": -Infinity` in scheduler configs. */
const PYTHON_NUMBERS = /(:\s*)(?:-?Infinity|NaN)(?=\s*[,}])/g;

/** Reads and parses a JSON file; infinities and NaN count as null. @throws MODEL_MISSING_FILE, MODEL_CONFIG */
export async function readJson(tree: FileTree, path: string): Promise<unknown> {
  const source = await tree.open(path);
  if (!source) throw missing(tree, path, 'Is this a model in the diffusers layout?');
  try {
    const text = new TextDecoder().decode(await source.read(0, source.size));
    return JSON.parse(text.replace(PYTHON_NUMBERS, '$1null'));
  } catch (cause) {
    throw new TextualInversionError('MODEL_CONFIG', {
      where: `${tree.name}/${path}`,
      expected: 'JSON',
      found: 'text that does not parse',
      cause,
    });
  }
}

function twice(file: string, name: string): TextualInversionError {
  return new TextualInversionError('WEIGHT_FORMAT', {
    where: file,
    expected: 'every tensor in one of the shards',
    found: `${name} in two`,
    fix: 'The shards are of different downloads; download the model again.',
  });
}

function missing(tree: FileTree, path: string, fix: string): TextualInversionError {
  return new TextualInversionError('MODEL_MISSING_FILE', {
    where: tree.name,
    expected: path,
    found: 'no such file',
    fix,
  });
}
