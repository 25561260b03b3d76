/**
 * The memory that a training step of Stable Diffusion 1.5 takes, calculated from the recorded graph: when each tensor is made, and who
 * needs it last. `npm run bench:memory`
 */
import { readFileSync } from 'node:fs';
import { readClipTextConfig } from '../packages/core/src/models/clip-text/foreign.js';
import { readClipText } from '../packages/core/src/models/clip-text/model.js';
import { readUnetConfig } from '../packages/core/src/models/unet/foreign.js';
import { readUnet } from '../packages/core/src/models/unet/model.js';
import type { DType, Runtime, TensorRef } from '../packages/core/src/platform.js';
import { trainingStep } from '../packages/core/src/training/step.js';
import { load } from '../packages/core/src/weights/load.js';
import type { Scope } from '../packages/core/src/weights/scope.js';
import { type Graph, type Node, sizeOf } from '../packages/onnx/src/graph/graph.js';
import { needed } from '../packages/onnx/src/graph/model-file.js';
import { recordGraph } from '../packages/onnx/src/runtime.js';
import { weightTensor } from '../packages/onnx/src/trace-backend.js';

const GB = 1e9;
const GPU = { loops: false, fused: false, launches: true, roomy: false };
const layout: Record<string, { config: unknown; tensors: Record<string, [DType, number[]]> }> = JSON.parse(
  readFileSync(new URL('../tests/golden/layouts/stable-diffusion-v1-5.json', import.meta.url), 'utf8'),
);

/** Places references instead of numbers. */
const shapes: Runtime = {
  name: 'shapes',
  compiled: true,
  place: async (ref, { shape, permute }) => weightTensor(ref, shape, permute),
  compile: () => {
    throw new Error('nothing runs here');
  },
  dispose() {},
};

function open<T>(name: string, read: (scope: Scope, config: unknown) => T): Promise<T> {
  const { config, tensors } = layout[name] ?? { config: {}, tensors: {} };
  const source = { name, size: 0, read: () => Promise.reject(new Error('no numbers')) };
  const refs = Object.entries(tensors).map(([tensor, [dtype, shape]]): [string, TensorRef] => [
    tensor,
    { name: tensor, dtype, shape, source, offset: 0, length: 4 * sizeOf(shape) },
  ]);
  return load({ name, tensors: new Map(refs), files: [name] }, shapes, (scope) => read(scope, config));
}

const text = await open('text_encoder', (scope, config) => readClipText(scope, readClipTextConfig(config, 'config')));
const unet = await open('unet', (scope, config) => readUnet(scope, readUnetConfig(config, 'config')));

function recordStep(recompute: boolean): Graph {
  const step = trainingStep({ encoders: [{ params: text, contextLayer: 'last' }], unet, recompute });
  const inputs = {
    ...{ 'rows.0': [1, 768], 'embedded.0': [1, 77, 768], 'slots.0': [1, 77, 1], 'ends.0': [1, 77] },
    ...{ noisy: [1, 4, 64, 64], target: [1, 4, 64, 64], weights: [1], time: [1, 320] },
  };
  const given = Object.entries(inputs).map(([name, shape]) => [name, { shape }] as const);
  return recordGraph(GPU, step, Object.fromEntries(given)).recorder.graph;
}

/**
 * Bytes at the moment when most are alive: made on the way to the loss, and made after it.
 * @param halves - Whether a weight is made float32 for each node that takes it, and freed after it.
 */
function peakOf(graph: Graph, halves: boolean): { kept: number; working: number } {
  const { nodes } = needed(graph);
  const owner = new Map<string, string>(); // reshaping takes no memory
  const ownerOf = (name: string) => owner.get(name) ?? name;
  const lastUse = new Map<string, number>();
  nodes.forEach(({ op, inputs, outputs }, i) => {
    const [first] = inputs;
    if ((op === 'Reshape' || op === 'Identity') && first)
      for (const { name } of outputs) owner.set(name, ownerOf(first.name));
    for (const input of inputs) if (input) lastUse.set(ownerOf(input.name), i);
  });
  const forward = ancestors(nodes, 'out.loss');
  const weights = new Set(graph.weights.map(({ value }) => value.name));
  const castFor = ({ inputs }: Node): number => {
    const cast = inputs.filter((input) => halves && input && weights.has(input.name));
    return cast.reduce((sum, input) => sum + 4 * sizeOf(input?.shape ?? []), 0);
  };
  const alive = new Map<string, { bytes: number; forward: boolean }>();
  const sums = { kept: 0, working: 0 };
  const count = (entry: { bytes: number; forward: boolean }, sign: number) => {
    sums[entry.forward ? 'kept' : 'working'] += sign * entry.bytes;
  };
  let peak = { ...sums };
  nodes.forEach((node, i) => {
    for (const { name, shape } of node.outputs) {
      if (owner.has(name)) continue;
      const entry = { bytes: 4 * sizeOf(shape), forward: forward.has(node) };
      alive.set(name, entry);
      count(entry, 1);
    }
    const working = sums.working + castFor(node);
    if (sums.kept + working > peak.kept + peak.working) peak = { kept: sums.kept, working };
    for (const [name, entry] of alive) {
      if ((lastUse.get(name) ?? i) > i) continue;
      alive.delete(name);
      count(entry, -1);
    }
  });
  return peak;
}

function ancestors(nodes: readonly Node[], output: string): ReadonlySet<Node> {
  const wanted = new Set([output]);
  const found = new Set<Node>();
  for (const node of nodes.toReversed()) {
    if (!node.outputs.some(({ name }) => wanted.has(name))) continue;
    found.add(node);
    for (const input of node.inputs) if (input) wanted.add(input.name);
  }
  return found;
}

function weightBytes(graph: Graph, part: string, bytesEach: number): number {
  const refs = new Set(graph.weights.map(({ ref }) => ref).filter(({ source }) => source.name === part));
  return [...refs].reduce((sum, { shape }) => sum + bytesEach * sizeOf(shape), 0);
}

for (const recompute of [false, true]) {
  const graph = recordStep(recompute);
  for (const [precision, bytesEach] of [
    ['half', 2],
    ['float32', 4],
  ] as const) {
    const { kept, working } = peakOf(graph, precision === 'half');
    const groups = {
      'UNet weights': weightBytes(graph, 'unet', bytesEach),
      'text encoder weights': weightBytes(graph, 'text_encoder', bytesEach),
      'kept on the way to the loss': kept,
      'made on the way back, at the most': working,
    };
    console.log(`${recompute ? 'blocks computed again' : 'nothing computed again'}, weights ${precision}`);
    for (const [name, bytes] of Object.entries(groups))
      console.log(`  ${name.padEnd(36)} ${(bytes / GB).toFixed(2)} GB`);
    const total = Object.values(groups).reduce((sum, bytes) => sum + bytes, 0);
    console.log(`  ${'together'.padEnd(36)} ${(total / GB).toFixed(2)} GB`);
  }
}
