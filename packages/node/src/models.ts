import { createRequire } from 'node:module';
import { basename, dirname, resolve } from 'node:path';
import {
  type DiffusionModel,
  type FileTree,
  type InspectedModel,
  inspectModel as inspectTree,
  type LoadModelOptions as LoadTreeOptions,
  loadModel as loadTree,
  numberIn,
  openVocabularies as openTreeVocabularies,
  type Vocabulary,
} from '@textual-inversion/core';
import { createBackend, type EngineOptions } from './backends.js';
import { openFolder } from './files.js';
import { warnProcess } from './warn-process.js';

/** The name of the embedded model. */
export const TINY = 'tiny';

/** Which weights, and on which engine. */
export interface LoadModelOptions extends LoadTreeOptions, EngineOptions {
  /** One of `BACKEND_NAMES`. @defaultValue 'auto' */
  readonly backend?: string;
}

/** A model with the engine it runs on. */
export interface LoadedModel extends DiffusionModel {
  /** Where its files are. */
  readonly tree: FileTree;
  readonly backend: { readonly name: string; readonly reason: string };
}

/**
 * Loads a model: `tiny` for the embedded one, or a folder in the diffusers layout (SD 1.x, SD 2.x, SDXL).
 * @throws MODEL_MISSING_FILE, MODEL_CONFIG, MODEL_UNSUPPORTED, WEIGHT_*, BACKEND_UNKNOWN, BACKEND_UNAVAILABLE, ABORTED
 */
export async function loadModel(
  name: string = TINY,
  { backend, threads, ...options }: LoadModelOptions = {},
): Promise<LoadedModel> {
  const tree = await openModel(name);
  await inspectTree(tree, options); // a wrong folder is refused before an engine starts
  if (threads !== undefined) numberIn('threads', threads, { min: 1, integer: true });
  const { runtime, ...chosen } = await createBackend(backend, { threads });
  // Nobody would look for the reason of a training that is many times as slow.
  if ((backend ?? 'auto') === 'auto' && !runtime.compiled)
    warnProcess(`No compiled engine starts here. ${chosen.name}: ${chosen.reason}.`);
  const model = await loadTree(tree, runtime, options);
  // Goes into concepts and pictures, where a path of this machine has no place.
  return { ...model, name: basename(resolve(name)), tree, backend: chosen };
}

/** What a model's folder holds, without reading its numbers. */
export async function inspectModel(
  name: string,
  options: Pick<LoadTreeOptions, 'variant'> = {},
): Promise<InspectedModel> {
  return { ...(await inspectTree(await openModel(name), options)), name };
}

/** The vocabularies of a model's text encoders, without the model. */
export async function openVocabularies(name: string): Promise<Vocabulary[]> {
  return openTreeVocabularies(await openModel(name));
}

function openModel(name: string): Promise<FileTree> {
  return openFolder(name === TINY ? tinyFolder() : name);
}

/** The folder of the embedded model, which comes as a package. */
function tinyFolder(): string {
  return dirname(createRequire(import.meta.url).resolve('@textual-inversion/tiny-model/package.json'));
}
