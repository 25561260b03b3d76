import '@tensorflow/tfjs-backend-cpu';
import { expect, test, vi } from 'vitest';
import * as tf from '../tf.js';
import { createEagerRuntime } from './eager.js';

const numbers = { data: Float32Array.of(1, 2, 3), shape: [3] };

test('runs a function on numbers, as often as one likes, and leaves no tensor', async () => {
  const runtime = await createEagerRuntime({ backend: 'cpu' });
  const before = tf.memory().numTensors;
  const double = runtime.compile('double', ({ x }: { x: tf.Tensor }) => ({ y: tf.add(x, x), same: x }));
  for (let i = 0; i < 2; i++)
    expect(await double.run({ x: numbers })).toEqual({
      y: { data: Float32Array.of(2, 4, 6), shape: [3] },
      same: numbers,
    });
  expect(tf.memory().numTensors).toBe(before);
  const failing = runtime.compile('failing', ({ x }: { x: tf.Tensor }) => ({ y: tf.reshape(x, [2]) }));
  await expect(failing.run({ x: numbers })).rejects.toThrow();
  expect(tf.memory().numTensors).toBe(before);
});

test('a backend that is not there, or no longer starts, is an error and no endless wait', async () => {
  await expect(createEagerRuntime({ backend: 'abacus' })).rejects.toMatchObject({ code: 'BACKEND_UNAVAILABLE' });
  const runtime = await createEagerRuntime({ backend: 'cpu' });
  const same = runtime.compile('same', ({ x }: { x: tf.Tensor }) => ({ x }));
  const lost = vi.spyOn(tf, 'getBackend').mockReturnValue('other');
  const gone = vi.spyOn(tf, 'setBackend').mockResolvedValue(false);
  await expect(same.run({ x: numbers })).rejects.toMatchObject({ code: 'BACKEND_UNAVAILABLE' });
  lost.mockRestore();
  gone.mockRestore();
  expect(await same.run({ x: numbers })).toEqual({ x: numbers });
});
