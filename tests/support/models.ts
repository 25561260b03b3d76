import '@tensorflow/tfjs-backend-cpu';
import '@tensorflow/tfjs-backend-wasm';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  readAutoencoderConfig,
  readTinyAutoencoderConfig,
} from '../../packages/core/src/models/autoencoder/foreign.js';
import { readAutoencoder } from '../../packages/core/src/models/autoencoder/model.js';
import { readTinyAutoencoder } from '../../packages/core/src/models/autoencoder/tiny.js';
import { EmbeddingTable } from '../../packages/core/src/models/clip-text/embedding-table.js';
import { readClipTextConfig } from '../../packages/core/src/models/clip-text/foreign.js';
import { readClipText, tokenEmbeddingName } from '../../packages/core/src/models/clip-text/model.js';
import { readClipVisionConfig } from '../../packages/core/src/models/clip-vision/foreign.js';
import { readClipVision } from '../../packages/core/src/models/clip-vision/model.js';
import type { UnetConfig } from '../../packages/core/src/models/unet/config.js';
import { sizeEmbedding } from '../../packages/core/src/models/unet/embeddings.js';
import { readUnetConfig } from '../../packages/core/src/models/unet/foreign.js';
import { readUnet } from '../../packages/core/src/models/unet/model.js';
import type { Runtime } from '../../packages/core/src/platform.js';
import type { Tensor } from '../../packages/core/src/tf.js';
import * as tf from '../../packages/core/src/tf.js';
import { type Checkpoint, openCheckpoint, readJson } from '../../packages/core/src/weights/checkpoint.js';
import { load, placeEagerly } from '../../packages/core/src/weights/load.js';
import { createBackend } from '../../packages/node/src/backends.js';
import { folder } from './folder.js';
import { GOLDEN, type GoldenTensor, golden } from './golden.js';

/** Pipelines of the golden folder, whatever they are called: each has a sibling with its reference numbers. */
export const families: readonly string[] = readdirSync(GOLDEN).filter(
  (name) => existsSync(golden(name, 'model_index.json')) && existsSync(golden(`${name}-golden`)),
);

/** Backend of the eager tests: `TI_BACKEND`, or wasm. `tensorflow` needs `@tensorflow/tfjs-node`, which the node package binds. */
export async function useBackend(name = process.env['TI_BACKEND'] ?? 'wasm'): Promise<void> {
  if (name === 'tensorflow') await createBackend(name);
  if (!(await tf.setBackend(name))) throw new Error(`no backend ${name}`);
}

const runtime: Runtime = {
  name: 'eager',
  compiled: false,
  place: placeEagerly,
  compile: () => {
    throw new Error('these tests call functions as they are');
  },
  dispose: () => {},
};

async function part(root: string, name: string): Promise<{ json: unknown; where: string; checkpoint: Checkpoint }> {
  const tree = folder(root);
  const where = join(name, 'config.json');
  return { json: await readJson(tree, where), where, checkpoint: await openCheckpoint(tree, name) };
}

export async function loadUnet(family: string) {
  const { json, where, checkpoint } = await part(golden(family), 'unet');
  const config = readUnetConfig(json, where);
  return { config, params: await load(checkpoint, runtime, (scope) => readUnet(scope, config)) };
}

export async function loadAutoencoder(family: string) {
  const { json, where, checkpoint } = await part(golden(family), 'vae');
  const config = readAutoencoderConfig(json, where);
  return { config, params: await load(checkpoint, runtime, (scope) => readAutoencoder(scope, config)) };
}

export async function loadClipVision(name: string) {
  const { json, where, checkpoint } = await part(GOLDEN, name);
  const config = readClipVisionConfig(json, where);
  return { config, params: await load(checkpoint, runtime, (scope) => readClipVision(scope, config)) };
}

export async function loadTinyAutoencoder(name: string) {
  const { json, where, checkpoint } = await part(GOLDEN, name);
  const config = readTinyAutoencoderConfig(json, where);
  return { config, params: await load(checkpoint, runtime, (scope) => readTinyAutoencoder(scope, config)) };
}

export type TestEncoder = Awaited<ReturnType<typeof loadTextEncoders>>[number];

/** All text encoders of a pipeline, each with what it needs to turn ids into inputs. */
export async function loadTextEncoders(family: string) {
  const { _class_name: className } = jsonFile(golden(family, 'model_index.json'));
  const contextLayer = String(className).includes('XL') ? ('penultimate' as const) : ('last' as const);
  const suffixes = ['', '_2'].filter((suffix) => existsSync(golden(family, `text_encoder${suffix}`)));
  return Promise.all(
    suffixes.map(async (suffix) => {
      const { json, where, checkpoint } = await part(golden(family), `text_encoder${suffix}`);
      const config = readClipTextConfig(json, where);
      const params = await load(checkpoint, runtime, (scope) => readClipText(scope, config));
      const ref = checkpoint.tensors.get(tokenEmbeddingName((name) => checkpoint.tensors.has(name)));
      if (!ref) throw new Error('no vocabulary');
      const endId = Number(jsonFile(golden(family, `tokenizer${suffix}`, 'vocab.json'))['<|endoftext|>']);
      return { suffix, config, params, contextLayer, table: new EmbeddingTable(ref, config), endId };
    }),
  );
}

/** Inputs of a text encoder for padded ids, where ids beyond the vocabulary are the concept's rows. */
export async function promptInputs(
  { table, endId }: TestEncoder,
  ids: readonly (readonly number[])[],
  vectors: number,
) {
  const tokens = ids[0]?.length ?? 0;
  const { vocabSize, width } = table;
  const flat = ids.flat();
  const embedded = await table.rows(flat.map((id) => (id < vocabSize ? id : endId)));
  const slots = new Float32Array(flat.length * vectors);
  const ends = new Float32Array(flat.length);
  flat.forEach((id, i) => {
    if (id < vocabSize) return;
    embedded.fill(0, i * width, (i + 1) * width);
    slots[i * vectors + id - vocabSize] = 1;
  });
  ids.forEach((prompt, b) => (ends[b * tokens + prompt.indexOf(endId)] = 1));
  return {
    embedded: tf.tensor(embedded, [ids.length, tokens, width]),
    slots: tf.tensor(slots, [ids.length, tokens, vectors]),
    ends: tf.tensor(ends, [ids.length, tokens]),
  };
}

/** The six sizes of each picture as a UNet with `text_time` wants them; nothing for other networks. */
export function sizesInput(
  config: UnetConfig,
  timeIds: GoldenTensor | undefined,
  batch: number,
): Record<string, Tensor> {
  if (!config.addition) return {};
  if (!timeIds) throw new Error('the golden file lacks time_ids');
  const { data, shape } = sizeEmbedding(
    Array.from({ length: batch }, () => Array.from(timeIds.data.slice(0, 6))),
    config.addition.sinusoid,
  );
  return { sizes: tf.tensor(data, [...shape]) };
}

export function tensor({ data, shape }: { data: ArrayLike<number>; shape: readonly number[] }): Tensor {
  return tf.tensor(Float32Array.from(data), [...shape]);
}

/** Pictures and latents of the goldens are `[B, C, H, W]`; inside they are `[B, H, W, C]`. */
export const channelsLast = (x: Tensor): Tensor => tf.transpose(x, [0, 2, 3, 1]);

/** Numbers in PyTorch's order. */
export function numbers(x: Tensor): Float32Array {
  return tf.tidy(() => (x.rank === 4 ? tf.transpose(x, [0, 3, 1, 2]) : x).dataSync<'float32'>());
}

export function pick<T>(map: ReadonlyMap<string, T>, name: string): T {
  const value = map.get(name);
  if (value === undefined) throw new Error(`the golden file lacks ${name}`);
  return value;
}

export function jsonFile(path: string): Record<string, unknown> {
  const json: unknown = JSON.parse(readFileSync(path, 'utf8'));
  return Object.fromEntries(Object.entries(json ?? {}));
}
