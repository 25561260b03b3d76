import '@tensorflow/tfjs-backend-cpu';
import { beforeAll, describe, expect, it } from 'vitest';
import { memoryTree } from '../../../../tests/support/memory.js';
import type { HostTensor, Placement, Runtime, TensorRef } from '../platform.js';
import { type Tensor, tf } from '../tf.js';
import { openCheckpoint } from './checkpoint.js';
import { dryRead, load, permuted, placeEagerly } from './load.js';
import { writeSafetensors } from './safetensors.js';
import type { Scope } from './scope.js';

const host = (...shape: number[]): HostTensor => {
  const count = shape.reduce((a, b) => a * b, 1);
  return { data: Float32Array.from({ length: count }, (_, i) => i), shape };
};
const checkpointOf = (tensors: Record<string, HostTensor>) =>
  openCheckpoint(memoryTree({ 'unet/model.safetensors': writeSafetensors(tensors) }), 'unet');

class TestRuntime implements Runtime {
  readonly name = 'test';
  readonly compiled = false;
  readonly order: string[] = [];
  async place(ref: TensorRef, placement: Placement): Promise<Tensor> {
    this.order.push(ref.name);
    return placeEagerly(ref, placement);
  }
  compile(): never {
    throw new Error('not here');
  }
  dispose(): void {}
}

const readLayer = (scope: Scope) => ({
  weight: scope.tensor('weight', [2, 3], [1, 0]),
  bias: scope.tensor('bias', [2]),
});

beforeAll(async () => {
  await tf.setBackend('cpu');
});

describe('dryRead', () => {
  it('lists what to fetch, by old names, with or without a prefix', async () => {
    const checkpoint = await checkpointOf({ 'a.query.weight': host(2, 3), 'a.query.bias': host(2), ids: host(1) });
    const requests = dryRead(checkpoint, (scope) => {
      scope.ignore('ids');
      const a = scope.has('text_model') ? scope.in('text_model.a') : scope.in('a');
      return readLayer(a.firstOf('to_q', 'query'));
    });
    expect(requests.map(({ ref }) => ref.name)).toEqual(['a.query.weight', 'a.query.bias']);
    expect(requests[0]?.placement).toEqual({ shape: [2, 3], permute: [1, 0] });
  });

  it('takes shapes that differ by trailing ones', async () => {
    const checkpoint = await checkpointOf({ weight: host(2, 3, 1, 1), bias: host(2) });
    expect(dryRead(checkpoint, readLayer)).toHaveLength(2);
  });

  it.each<[string, Record<string, HostTensor>, string, string]>([
    ['one is missing', { weight: host(2, 3) }, 'WEIGHT_MISSING', 'unet.bias'],
    ['one has another shape', { weight: host(3, 2), bias: host(2) }, 'WEIGHT_SHAPE', 'unet.weight'],
    ['one has leading ones', { weight: host(1, 2, 3), bias: host(2) }, 'WEIGHT_SHAPE', 'unet.weight'],
    ['one is left', { weight: host(2, 3), bias: host(2), more: host(1) }, 'WEIGHT_UNREAD', 'more'],
  ])('says when %s', async (_, tensors, code, name) => {
    const checkpoint = await checkpointOf(tensors);
    expect(() => dryRead(checkpoint, readLayer)).toThrow(
      expect.objectContaining({ code, message: expect.stringContaining(name) }),
    );
  });

  it('says which of two names was expected when neither is there', async () => {
    const checkpoint = await checkpointOf({ x: host(1) });
    expect(() => dryRead(checkpoint, (scope) => readLayer(scope.firstOf('to_q', 'query')))).toThrow(
      /unet\.to_q\.weight/,
    );
  });
});

describe('load', () => {
  it('brings every tensor once, in the order of the file, and reports the bytes', async () => {
    const checkpoint = await checkpointOf({ weight: host(2, 3), bias: host(2) });
    const runtime = new TestRuntime();
    const progress: [number, number][] = [];
    const layer = await load(checkpoint, runtime, readLayer, {
      onProgress: (bytes, total) => progress.push([bytes, total]),
    });
    expect(runtime.order).toEqual(['bias', 'weight']);
    expect(progress).toEqual([
      [8, 32],
      [32, 32],
    ]);
    expect(layer.weight.shape).toEqual([3, 2]);
    expect([...layer.weight.dataSync()]).toEqual([0, 3, 1, 4, 2, 5]);
    tf.dispose([layer.weight, layer.bias]);
  });

  it('leaves nothing behind when numbers are not finite, and fetches no more', async () => {
    const tensors = Object.fromEntries(Array.from({ length: 40 }, (_, i) => [`t${100 + i}`, host(2)]));
    tensors['t105'] = { data: Float32Array.of(1, Number.NaN), shape: [2] };
    const checkpoint = await checkpointOf(tensors);
    const runtime = new TestRuntime();
    const before = tf.memory().numTensors;
    const loading = load(checkpoint, runtime, (scope) => Object.keys(tensors).map((name) => scope.tensor(name, [2])));
    await expect(loading).rejects.toMatchObject({ code: 'WEIGHT_NOT_FINITE', message: expect.stringMatching(/t105/) });
    expect(tf.memory().numTensors).toBe(before);
    expect(runtime.order.length).toBeLessThan(20);
  });

  it('stops when told to', async () => {
    const checkpoint = await checkpointOf({ weight: host(2, 3), bias: host(2) });
    const runtime = new TestRuntime();
    const before = tf.memory().numTensors;
    const signal = AbortSignal.abort();
    await expect(load(checkpoint, runtime, readLayer, { signal })).rejects.toMatchObject({ code: 'ABORTED' });
    expect(runtime.order).toEqual([]);
    expect(tf.memory().numTensors).toBe(before);
  });
});

describe('permuted', () => {
  it.each([
    [
      [2, 3],
      [1, 0],
    ],
    [
      [4, 3, 2, 5],
      [2, 3, 1, 0],
    ],
    [
      [3, 1, 2],
      [0, 2, 1],
    ],
    [[5], [0]],
  ])('%j by %j is what TensorFlow.js does', async (shape, order) => {
    const { data } = host(...shape);
    const expected = tf.tidy(() => tf.transpose(tf.tensor(data, shape), order).dataSync());
    expect(permuted(data, shape, order)).toEqual(expected);
  });
});
