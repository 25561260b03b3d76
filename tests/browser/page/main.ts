/** What the tests reach as `window.library`: the package as it is, and the parts of a model one by one. */
import { loadModel as loadTree } from '../../../packages/core/src/index.js';
import { preparePrompts } from '../../../packages/core/src/models/prompt-inputs.js';
import { timestepEmbedding } from '../../../packages/core/src/models/unet/embeddings.js';
import { attention } from '../../../packages/core/src/nn/attention.js';
import { DATASET_DEFAULTS, prepareDataset } from '../../../packages/core/src/training/dataset.js';
import { compileTrainingStep } from '../../../packages/core/src/training/step.js';
import * as web from '../../../packages/web/src/index.js';
import { gpu } from './gpu.js';

type Numbers = Record<string, { data: readonly number[]; shape: readonly number[] }>;

const assetsUrl = new URL('textual-inversion/', document.baseURI).href;

/** Loads a model from an address on the page itself, for calls of its parts. */
async function openParts(
  url: string,
  files: web.RemoteFiles,
  backend: string,
  { threads, recompute, replayed = true }: { threads?: number; recompute?: boolean; replayed?: boolean } = {},
) {
  const { runtime: made } = await web.createBackend(backend, { assetsUrl, threads });
  // What does not say that it runs often is not captured.
  const runtime = replayed
    ? made
    : { ...made, compile: (...[name, fn]: Parameters<typeof made.compile>) => made.compile(name, fn) };
  const model = await loadTree(web.remoteTree(url, files), runtime);
  const step = compileTrainingStep(runtime, { encoders: model.textEncoders, unet: model.unet.params, recompute });
  const functions = { ...model.functions, step };
  return {
    async run(name: keyof typeof functions, inputs: Numbers) {
      const host = Object.entries(inputs).map(
        ([key, { data, shape }]) => [key, { data: Float32Array.from(data), shape }] as const,
      );
      const outputs = await functions[name].run(Object.fromEntries(host));
      return Object.fromEntries(Object.entries(outputs).map(([key, { data }]) => [key, [...data]]));
    },
    /** Seconds of a training step on made-up numbers. */
    async rehearse(batch: number) {
      const inputs = await madeUpInputs(model, batch);
      const began = performance.now();
      await step.run(inputs);
      return (performance.now() - began) / 1000;
    },
    /** Tensors and bytes that TensorFlow.js holds. */
    memory: () => ({ tensors: web.tf.engine().state.numTensors, bytes: web.tf.engine().state.numBytes }),
    dispose: () => {
      step.dispose();
      model.dispose();
    },
  };
}

/** A picture as it is decoded, and as training sees it on a ground of some colour. */
async function lookAt(base64: string, name: string, sizesPx: number[], background: [number, number, number]) {
  const picture = await web.codec.decode(
    Uint8Array.from(atob(base64), (character) => character.charCodeAt(0)),
    name,
  );
  const squares = sizesPx.map((size) =>
    prepareDataset([picture], size, { ...DATASET_DEFAULTS, background }, new web.Generator(0)).flatMap((shown) =>
      shown.squares.flatMap(({ data }) => [...data]),
    ),
  );
  return { shape: picture.shape, flat: [...web.flatten(picture, background).data], squares };
}

/** What a training step on `batch` pictures takes, whatever it is. */
async function madeUpInputs(model: web.DiffusionModel, batch: number): Promise<Record<string, web.HostTensor>> {
  const { textEncoders, unet, sizePx, autoencoder } = model;
  const numbers = (...shape: number[]) => ({
    data: Float32Array.from({ length: shape.reduce((product, length) => product * length, 1) }, (_, i) => Math.sin(i)),
    shape,
  });
  const rows = textEncoders.map(({ table }) => numbers(1, table.width));
  const prompts = await preparePrompts(textEncoders, Array<string>(batch).fill('a photo of a <thing>'), [
    { token: '<thing>', rows, info: {} },
  ]);
  const side = sizePx / autoencoder.config.downscale;
  const latents = numbers(batch, unet.config.inChannels, side, side);
  return {
    ...prompts.inputs,
    noisy: latents,
    target: latents,
    weights: { data: new Float32Array(batch).fill(1), shape: [batch] },
    time: timestepEmbedding(Array<number>(batch).fill(501), unet.config),
  };
}

/** Runs something that should fail. @returns its code and message */
async function failureOf(action: () => unknown): Promise<{ code: string; message: string }> {
  try {
    await action();
  } catch (error) {
    if (error instanceof web.TextualInversionError) return { code: error.code, message: error.message };
    return { code: 'not ours', message: String(error) };
  }
  return { code: 'none', message: 'it worked' };
}

const library = { ...web, assetsUrl, attention, gpu, openParts, lookAt, failureOf };
export type Library = typeof library;
Object.assign(window, { library });
