import { describe, expect, test } from 'vitest';
import { openLibrary } from './support/library.js';

/** Steps on the embedded model; WebGPU only counts, see `page/gpu.ts`. */
describe('nothing is left of a model', () => {
  test.each(['onnx-webgpu', 'webgpu', 'onnx-wasm', 'wasm'])('%s', async (backend) => {
    const { page, close } = await openLibrary({}, { webgpu: backend.endsWith('webgpu') });
    try {
      const [before, after] = await page.evaluate(async (name) => {
        const { assetsUrl, gpu, tf } = library;
        gpu.idle = true;
        const memory = () => ({ tensors: tf.engine().state.numTensors, buffers: gpu.buffers, bytes: gpu.bytes });
        (await library.createBackend(name, { assetsUrl })).runtime.dispose(); // an engine keeps a few buffers of its own
        const before = memory();
        const model = await library.loadModel('tiny', { backend: name, worker: false });
        const canvas = new OffscreenCanvas(64, 64);
        canvas.getContext('2d')?.fillRect(8, 8, 32, 48);
        const images = [canvas.transferToImageBitmap()];
        const concept = await library.invert({
          model,
          images,
          token: '<thing>',
          initializer: 'monster',
          steps: 2,
          batchSize: 1,
        });
        await library.generate({ model, prompt: 'a photo of a <thing>', concepts: [concept], steps: 2 });
        await model.dispose();
        await new Promise((resolve) => setTimeout(resolve, 100)); // sessions are released behind the scenes
        return [before, memory()];
      }, backend);
      expect(after).toEqual(before);
    } finally {
      await close();
    }
  });
});
