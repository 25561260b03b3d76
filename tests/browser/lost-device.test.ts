import { afterEach, beforeEach, expect, test } from 'vitest';
import type { tf } from '../../packages/core/src/index.js';
import { type OpenLibrary, openLibrary } from './support/library.js';

// Each loss is a real one: the process of the GPU ends, or a device is destroyed while it works.

declare global {
  /** Ends the process of the GPU. */
  var endGpuProcess: () => Promise<void>;
  /** Ends it in the place of the next answer that a device owes, which never comes. */
  var endInsteadOfAnswer: () => void;
  /** Devices that were opened. */
  var devices: GPUDevice[];
}

let opened: OpenLibrary;
beforeEach(async () => {
  opened = await openLibrary({}, { webgpu: true });
  const { page } = opened;
  const devtools = await page.context().browser()?.newBrowserCDPSession();
  await page.exposeFunction('endGpuProcess', () => devtools?.send('Browser.crashGpuProcess'));
  await page.evaluate(() => {
    globalThis.endInsteadOfAnswer = () => {
      const { mapAsync } = GPUBuffer.prototype;
      GPUBuffer.prototype.mapAsync = async () => {
        GPUBuffer.prototype.mapAsync = mapAsync;
        await endGpuProcess();
        await new Promise(() => {});
      };
    };
    globalThis.devices = [];
    const { requestDevice } = GPUAdapter.prototype;
    GPUAdapter.prototype.requestDevice = async function (...given) {
      const device = await requestDevice.apply(this, given);
      devices.push(device);
      return device;
    };
  });
}, 180_000);
afterEach(() => opened.close());

test('in the try-out of an engine: it is refused', async () => {
  const failure = await opened.page.evaluate(() => {
    endInsteadOfAnswer();
    return library.failureOf(() => library.createBackend('onnx-webgpu', { assetsUrl: library.assetsUrl }));
  });
  expect(failure).toMatchObject({
    code: 'BACKEND_UNAVAILABLE',
    message: expect.stringMatching(/device .* was lost/) as string,
  });
});

test('while others wait for their turn: the model on it says so, the others work', async () => {
  const results = await opened.page.evaluate(async () => {
    const { createBackend, assetsUrl, failureOf, tf } = library;
    const open = async (backend: string) => {
      const { runtime } = await createBackend(backend, { assetsUrl });
      return runtime.compile('sum', ({ x }: Record<'x', tf.Tensor>) => ({ y: tf.sum(x) }));
    };
    const x = { data: Float32Array.of(1, 2, 3), shape: [3] };
    const [onGpu, onCpu] = [await open('onnx-webgpu'), await open('onnx-wasm')];
    endInsteadOfAnswer();
    const lost = [failureOf(() => onGpu.run({ x })), failureOf(() => onGpu.run({ x }))];
    const { y } = await onCpu.run({ x });
    return { codes: (await Promise.all(lost)).map(({ code }) => code), sum: y.data[0] };
  });
  expect(results).toEqual({ codes: ['BACKEND_LOST', 'BACKEND_LOST'], sum: 6 });
});

test('while a model on another device works: it is not disturbed by one that is loaded in the place of the lost', async () => {
  const sums = await opened.page.evaluate(async () => {
    const { createBackend, assetsUrl, tf } = library;
    const length = 256;
    const open = async () => {
      const { runtime } = await createBackend('onnx-webgpu', { assetsUrl });
      return runtime.compile('product', ({ x }: Record<'x', tf.Tensor>) => ({ y: tf.mean(tf.matMul(x, x)) }));
    };
    const x = { data: new Float32Array(length ** 2).fill(1), shape: [length, length] };
    const [onLost, onOther] = [await open(), await open()];
    const lost = onLost.run({ x }).catch(() => devices[0]?.lost);
    const other = onOther.run({ x });
    devices[0]?.destroy();
    await lost;
    const again = (await open()).run({ x });
    return (await Promise.all([other, again])).map(({ y }) => y.data[0]);
  });
  expect(sums).toEqual([256, 256]);
});

test('when the model is disposed of, and when an engine is refused: no device stays', async () => {
  const reasons = await opened.page.evaluate(async () => {
    const { createBackend, assetsUrl, failureOf } = library;
    (await createBackend('onnx-webgpu', { assetsUrl })).runtime.dispose();
    GPUBuffer.prototype.mapAsync = () => Promise.reject(new Error('no answer'));
    await failureOf(() => createBackend('onnx-webgpu', { assetsUrl }));
    const late = new Promise((resolve) => setTimeout(() => resolve({ reason: 'none' }), 5000));
    const losses = await Promise.all(devices.map((device) => Promise.race([device.lost, late])));
    return losses.map((loss) => (loss as GPUDeviceLostInfo).reason);
  });
  expect(reasons).toEqual(['destroyed', 'destroyed']);
});
