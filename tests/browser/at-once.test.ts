import { afterAll, beforeAll, expect, test } from 'vitest';
import type { tf } from '../../packages/core/src/index.js';
import { type OpenLibrary, openLibrary } from './support/library.js';

// ONNX Runtime Web does not expect that: see docs/decisions/dispatches.md.

let opened: OpenLibrary;
beforeAll(async () => {
  opened = await openLibrary({}, { webgpu: true });
}, 180_000);
afterAll(() => opened.close());

test.each(['onnx-wasm', 'onnx-webgpu'])(
  '%s: functions that are prepared at once have weights of their own',
  async (backend) => {
    const answers = await opened.page.evaluate(async (backend) => {
      const { createBackend, assetsUrl, tf } = library;
      const { runtime } = await createBackend(backend, { assetsUrl });
      const shape = [16, 16];
      const filled = (number: number) => new Float32Array(16 ** 2).fill(number);
      const product = async (name: string, number: number) => {
        const bytes = new Uint8Array(filled(number).buffer);
        const source = { name, size: bytes.length, read: () => Promise.resolve(bytes) };
        const ref = { name, dtype: 'F32', shape, source, offset: 0, length: bytes.length } as const;
        const weight = await runtime.place(ref, { shape });
        return runtime.compile(name, ({ x }: Record<'x', tf.Tensor>) => ({ y: tf.sum(tf.matMul(x, weight)) }));
      };
      const functions = [await product('one', 1), await product('two', 2)];
      const x = { data: filled(1), shape };
      const results = await Promise.all(functions.map((each) => each.run({ x })));
      runtime.dispose();
      return results.map(({ y }) => y.data[0]);
    }, backend);
    expect(answers).toEqual([16 ** 3, 2 * 16 ** 3]);
  },
);

test.each([false, true])('functions that run at once on WebGPU take turns, captured: %s', async (often) => {
  const answers = await opened.page.evaluate(async (often) => {
    const { createBackend, assetsUrl, tf } = library;
    const { runtime } = await createBackend('onnx-webgpu', { assetsUrl });
    const compiled = (reduced: typeof tf.sum) =>
      runtime.compile('product', ({ x }: Record<'x', tf.Tensor>) => ({ y: reduced(tf.matMul(x, x)) }), { often });
    const [total, mean] = [compiled(tf.sum), compiled(tf.mean)];
    const filled = (number: number) => ({ x: { data: new Float32Array(64 ** 2).fill(number), shape: [64, 64] } });
    const tooLong = new Promise<never>((_, reject) => {
      setTimeout(() => reject(new Error('no answer in 30 s')), 30_000);
    });
    const runs = [total.run(filled(1)), mean.run(filled(1)), total.run(filled(2)), total.run(filled(3))];
    const results = await Promise.race([Promise.all(runs), tooLong]);
    runtime.dispose();
    return results.map(({ y }) => y.data[0]);
  }, often);
  expect(answers).toEqual([64 ** 3, 64, 4 * 64 ** 3, 9 * 64 ** 3]);
});
