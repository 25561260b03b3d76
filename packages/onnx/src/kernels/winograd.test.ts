import { type TensorRef, tf } from '@textual-inversion/core';
import * as ort from 'onnxruntime-node';
import { expect, test } from 'vitest';
import { conv2dInputGradient } from '../../../core/src/nn/conv2d.js';
import { Generator } from '../../../core/src/random.js';
import { recordGraph, startGraph } from '../runtime.js';
import { weightTensor } from '../trace-backend.js';

const numbers = (size: number, seed: number): Float32Array => new Generator(seed).normal(size);

function filterOf(outputs: number, inputs: number): tf.Tensor4D {
  const data = numbers(outputs * inputs * 9, 1);
  const bytes = new Uint8Array(data.buffer);
  const source = {
    name: 'filter',
    size: bytes.length,
    version: '1',
    read: async (offset: number, length: number) => bytes.slice(offset, offset + length),
  };
  const shape = [outputs, inputs, 3, 3];
  const ref: TensorRef = { name: 'filter', dtype: 'F32', shape, source, offset: 0, length: bytes.length };
  return weightTensor(ref, shape, [2, 3, 1, 0]) as tf.Tensor4D;
}

test.each([
  ['a batch', [3, 16, 16, 64], 128],
  ['several pieces of the filter', [1, 16, 16, 320], 384],
  ['several bands of the picture', [1, 128, 256, 64], 64],
] as const)('%s: equal to the plain convolution, forward and backward', async (_, shape, outputs) => {
  const [batch, height, width, inputs] = shape;
  const filter = filterOf(outputs, inputs);
  const given = {
    x: { data: numbers(batch * height * width * inputs, 2), shape: [...shape] },
    dy: { data: numbers(batch * height * width * outputs, 3), shape: [batch, height, width, outputs] },
  };
  const run = async (roomy: boolean) => {
    const graph = recordGraph(
      { loops: true, fused: true, launches: false, roomy },
      ({ x, dy }) => ({
        y: tf.conv2d((x ?? filter) as tf.Tensor4D, filter, 1, 'same'),
        dx: conv2dInputGradient(dy ?? filter, filter, { stride: 1, pads: [1, 1, 1, 1], size: [height, width] }),
      }),
      given,
    );
    const operators = graph.recorder.graph.nodes.map(({ op }) => op);
    expect(operators.includes('FusedMatMul')).toBe(!roomy);
    const started = await startGraph(ort, 'test', graph, { provider: 'cpu', threads: 1 });
    const outputs = await started.run(given);
    await started.dispose();
    return outputs;
  };
  const [plain, fast] = [await run(true), await run(false)];
  for (const name of ['y', 'dx']) {
    const [expected, actual] = [plain[name]?.data ?? new Float32Array(), fast[name]?.data ?? new Float32Array()];
    expect(actual.length).toBe(expected.length);
    const scale = Math.sqrt(expected.reduce((sum, value) => sum + value * value, 0) / expected.length);
    const worst = expected.reduce((most, value, i) => Math.max(most, Math.abs(value - (actual[i] ?? Number.NaN))), 0);
    expect(worst / scale, name).toBeLessThan(1e-4);
  }
});
