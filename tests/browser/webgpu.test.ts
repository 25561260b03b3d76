import { afterAll, beforeAll, expect, test } from 'vitest';
import type { tf } from '../../packages/core/src/index.js';
import { type OpenLibrary, openLibrary } from './support/library.js';

// What TensorFlow.js 4.22 gets wrong on WebGPU: see docs/decisions/eager-browser.md.

let opened: OpenLibrary;
beforeAll(async () => {
  opened = await openLibrary({}, { webgpu: true });
}, 180_000);
afterAll(() => opened.close());

test('attention of more rows than WebGPU dispatches along one axis is right to the last of them', async () => {
  const error = await opened.page.evaluate(async () => {
    const [rows, keys, width] = [70_000, 2, 4];
    const wave = (length: number, of: number) => ({
      data: Float32Array.from({ length: length * width }, (_, i) => Math.sin(of * (i + 1))),
      shape: [1, length, width],
    });
    const inputs = { query: wave(rows, 1.3), key: wave(keys, 0.7), value: wave(keys, 0.4) };
    const { runtime } = await library.createBackend('webgpu', { assetsUrl: library.assetsUrl });
    const attend = runtime.compile('attention', ({ query, key, value }: Record<keyof typeof inputs, tf.Tensor>) => ({
      y: library.attention({ heads: 1 }, query, key, value),
    }));
    const { y } = await attend.run(inputs);
    const at = (x: { data: Float32Array }, row: number, i: number) => x.data[row * width + i] ?? Number.NaN;
    let worst = 0;
    for (let row = 0; row < rows; row++) {
      const scores = [0, 1].map((k) => {
        let sum = 0;
        for (let i = 0; i < width; i++) sum += at(inputs.query, row, i) * at(inputs.key, k, i);
        return Math.exp(sum / Math.sqrt(width));
      });
      const total = scores.reduce((a, b) => a + b);
      for (let i = 0; i < width; i++) {
        const expected = scores.reduce((sum, score, k) => sum + (score / total) * at(inputs.value, k, i), 0);
        worst = Math.max(worst, Math.abs(at(y, row, i) - expected));
      }
    }
    return worst;
  });
  expect(error).toBeLessThan(1e-4);
});

test('buffers of sizes that never come again are given back', async () => {
  const MiB = 2 ** 20;
  const bytes = await opened.page.evaluate(async (size) => {
    const { runtime } = await library.createBackend('webgpu', { assetsUrl: library.assetsUrl });
    const twice = runtime.compile('twice', ({ x }: Record<'x', tf.Tensor>) => ({ y: library.tf.add(x, x) }));
    for (let i = 0; i < 16; i++) {
      const length = (8 * size) / 4 + i;
      await twice.run({ x: { data: new Float32Array(length), shape: [length] } });
    }
    const held = library.gpu.bytes;
    runtime.dispose();
    return { held, afterwards: library.gpu.bytes };
  }, MiB);
  expect(bytes.held).toBeLessThan(300 * MiB); // 384 were allocated
  expect(bytes.afterwards).toBe(0);
});

test('a compiled training step takes half as many dispatches as an eager one, and less memory where blocks are computed again', async () => {
  const { page, close } = await openLibrary({}, { webgpu: true });
  const steps = await page.evaluate(async () => {
    const { gpu } = library;
    gpu.idle = true;
    const url = `${library.assetsUrl}tiny/`;
    const files = await library.listRemote(url);
    const step = async (backend: string, recompute: boolean) => {
      const parts = await library.openParts(url, files, backend, { recompute });
      await parts.rehearse(4);
      const before = gpu.dispatches;
      gpu.peakBytes = gpu.bytes;
      await parts.rehearse(4);
      const counts = { dispatches: gpu.dispatches - before, peakBytes: gpu.peakBytes };
      parts.dispose();
      await new Promise((resolve) => setTimeout(resolve, 100)); // sessions are released behind the scenes
      return counts;
    };
    return {
      compiled: await step('onnx-webgpu', false),
      again: await step('onnx-webgpu', true),
      eager: await step('webgpu', false),
    };
  });
  await close();
  console.log(`training step of the embedded model: ${JSON.stringify(steps)}`);
  expect(steps.compiled.dispatches).toBeLessThanOrEqual(steps.eager.dispatches / 2);
  expect(steps.again.peakBytes).toBeLessThan(steps.compiled.peakBytes);
});
