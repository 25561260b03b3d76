/**
 * Asks ONNX Runtime for Node which sessions it makes on its WebGPU provider when the CPU may take no node: the embedded model's training step, and
 * a graph that needs the CPU. Runs in a process of its own, because the libraries of Vulkan are looked for where a process was told at its start.
 */
import * as ort from 'onnxruntime-node';
import { loadModel } from '../../../packages/core/src/index.js';
import { preparePrompts } from '../../../packages/core/src/models/prompt-inputs.js';
import { timestepEmbedding } from '../../../packages/core/src/models/unet/embeddings.js';
import type { HostTensor } from '../../../packages/core/src/platform.js';
import { trainingStep } from '../../../packages/core/src/training/step.js';
import { openFolder } from '../../../packages/node/src/files.js';
import { Graph } from '../../../packages/onnx/src/graph/graph.js';
import { createOnnxRuntime } from '../../../packages/onnx/src/index.js';
import { GPU, recordGraph } from '../../../packages/onnx/src/runtime.js';
import { createSession } from '../../../packages/onnx/src/session.js';

const ones = (...shape: number[]): HostTensor => ({
  data: new Float32Array(shape.reduce((product, size) => product * size, 1)).fill(1),
  shape,
});

const settings = {
  provider: 'webgpu',
  threads: 1,
  options: { extra: { session: { disable_cpu_ep_fallback: '1' } } },
};

/** Makes a session. @returns What ONNX Runtime says against it, or `placed`. */
async function place(graph: Graph): Promise<string> {
  try {
    const session = await createSession(ort, graph, 'placement', settings);
    await session.release();
    return 'placed';
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

const model = await loadModel(await openFolder(process.argv[2] ?? ''), await createOnnxRuntime({ ort, threads: 1 }));
const side = model.sizePx / model.autoencoder.config.downscale;
const concept = { token: '<thing>', rows: [ones(1, model.textEncoders[0]?.table.width ?? 0)], info: {} };
const { inputs } = await preparePrompts(model.textEncoders, ['a photo of a <thing>'], [concept]);
const latents = ones(1, model.unet.config.inChannels, side, side);
const { recorder } = recordGraph(
  { ...GPU, roomy: true },
  trainingStep({ encoders: model.textEncoders, unet: model.unet.params }),
  {
    ...inputs,
    noisy: latents,
    target: latents,
    weights: ones(1),
    time: timestepEmbedding([501], model.unet.config),
  },
);
const step = await place(recorder.graph);
// The provider has no such operator.
const determinant = new Graph();
determinant.output(determinant.node('Det', [determinant.input('x', [2, 2])], { shape: [] }), 'y');
const control = await place(determinant);
process.stdout.write(`${JSON.stringify({ step, control })}\n`);
