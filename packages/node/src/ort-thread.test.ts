import { tf } from '@textual-inversion/core';
import { createOnnxRuntime } from '@textual-inversion/onnx';
import { afterEach, describe, expect, test } from 'vitest';
import { createOrtThread, type OrtThread } from './ort-thread.js';

const threads: OrtThread[] = [];
const thread = (): OrtThread => {
  const created = createOrtThread();
  threads.push(created);
  return created;
};
afterEach(() => {
  for (const each of threads.splice(0)) each.close();
});

const side = 512;
const square = { data: Float32Array.from({ length: side ** 2 }, (_, i) => Math.sin(i)), shape: [side, side] };
/** Some tenths of a second. */
const products = ({ x }: Record<'x', tf.Tensor>) => {
  let y = x;
  for (let i = 0; i < 40; i++) y = tf.div(tf.matMul(y, x), side / 2);
  return { y };
};

describe('ONNX Runtime on a thread of its own', () => {
  test('leaves this one free', async () => {
    const runtime = await createOnnxRuntime({ ort: thread().ort, threads: 1 });
    const work = runtime.compile('products', products);
    await work.run({ x: square });
    let turns = 0;
    let done = false;
    const count = () => {
      turns++;
      if (!done) setImmediate(count);
    };
    setImmediate(count);
    const { y } = await work.run({ x: square });
    done = true;
    expect(turns).toBeGreaterThan(100);
    expect(y.shape).toEqual([side, side]);
    runtime.dispose();
  });

  test('gives what the same thread gives, also in parts', async () => {
    const ort = await import('onnxruntime-node');
    const here = await createOnnxRuntime({ ort, threads: 1 });
    const there = await createOnnxRuntime({ ort: thread().ort, others: [thread().ort] });
    const twice = ({ x }: Record<'x', tf.Tensor>) => ({ y: tf.mul(tf.exp(x), 2) });
    const [expected, found] = await Promise.all(
      [here, there].map((runtime) => runtime.compile('twice', twice, { batched: {} }).run({ x: square })),
    );
    expect(found).toEqual(expected);
    here.dispose();
    there.dispose();
  });

  test('hands on what ONNX Runtime says against a graph', async () => {
    const { ort } = thread();
    await expect(ort.InferenceSession.create(Uint8Array.of(1, 2, 3))).rejects.toThrow(/protobuf|model/i);
  });

  test('answers before it ends, and then no more', async () => {
    const own = thread();
    const runtime = await createOnnxRuntime({ ort: own.ort, threads: 1 });
    const doubled = runtime.compile('doubled', ({ x }: Record<'x', tf.Tensor>) => ({ y: tf.add(x, x) }));
    const inputs = { x: { data: Float32Array.of(1, 2), shape: [2] } };
    await doubled.run(inputs);
    const last = doubled.run(inputs);
    await Promise.resolve().then(() => {}); // until it was asked
    own.close();
    expect((await last).y.data).toEqual(Float32Array.of(2, 4));
    await expect(doubled.run(inputs)).rejects.toThrow(/thread of ONNX Runtime/);
  });
});
