import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ByteSource, type DType, type TensorRef, tf, toFloat16 } from '@textual-inversion/core';
import * as ort from 'onnxruntime-node';
import { afterAll, describe, expect, test } from 'vitest';
import { createOnnxRuntime, probeProviders } from './index.js';
import { recordGraph } from './runtime.js';
import { commonFolder, type OrtModule, type SessionSettings, sessionError } from './session.js';
import { weightTensor } from './trace-backend.js';

const folder = mkdtempSync(join(tmpdir(), 'onnx-test-'));
afterAll(() => rmSync(folder, { recursive: true }));

const NUMBERS = Float32Array.of(1, 2, 3, 4, 5, 6);

/** A tensor `[2, 3]` behind seven bytes of something else. */
function stored(name: string, dtype: DType, bytes: Uint8Array, onDisk: boolean): TensorRef {
  const file = new Uint8Array(7 + bytes.length);
  file.set(bytes, 7);
  const path = join(folder, name);
  if (onDisk) writeFileSync(path, file);
  const source: ByteSource = {
    name,
    size: file.length,
    version: '1',
    ...(onDisk ? { path } : {}),
    read: async (offset, length) => file.slice(offset, offset + length),
  };
  return { name: 'weight', dtype, shape: [2, 3], source, offset: 7, length: bytes.length };
}

const bytesOf = (data: Float32Array | Uint16Array): Uint8Array => new Uint8Array(data.buffer.slice(0));
const bfloat16 = Uint16Array.from(new Uint32Array(NUMBERS.slice().buffer), (bits) => bits >>> 16);

test.each([
  ['float32 in a file', 'F32', bytesOf(NUMBERS), true],
  ['float16 in a file', 'F16', bytesOf(toFloat16(NUMBERS)), true],
  ['bfloat16 in a file', 'BF16', bytesOf(bfloat16), true],
  ['float32 without a file', 'F32', bytesOf(NUMBERS), false],
  ['float16 without a file', 'F16', bytesOf(toFloat16(NUMBERS)), false],
] as const)('a weight of %s', async (name, dtype, bytes, onDisk) => {
  const runtime = await createOnnxRuntime({ ort, threads: 1 });
  const weight = await runtime.place(stored(name, dtype, bytes, onDisk), { shape: [2, 3], permute: [1, 0] });
  expect(weight.shape).toEqual([3, 2]);
  const times = runtime.compile('times', ({ x }: Record<'x', tf.Tensor>) => ({
    y: tf.matMul(x, weight),
    w: tf.add(weight, 0),
  }));
  const { y, w } = await times.run({ x: { data: Float32Array.of(1, 10, 100), shape: [1, 3] } });
  expect(y.data).toEqual(Float32Array.of(321, 654));
  expect(w).toEqual({ data: Float32Array.of(1, 4, 2, 5, 3, 6), shape: [3, 2] });
  runtime.dispose();
});

test.each([true, false])('rows of a weight are read where they lie, in a file: %s', async (onDisk) => {
  const runtime = await createOnnxRuntime({ ort, threads: 1 });
  const ref = stored(`rows-${onDisk}`, 'F32', bytesOf(NUMBERS), onDisk);
  const weight = await runtime.place(ref, { shape: [2, 3], permute: [1, 0] });
  const fn = ({ x }: Record<'x', tf.Tensor>) => ({ y: tf.mul(x, tf.slice(weight, [0, 1], [-1, 1])) });
  const x = { data: Float32Array.of(1, 10, 100), shape: [3, 1] };
  const { nodes } = recordGraph({ loops: true, fused: true, launches: false, roomy: true }, fn, { x }).recorder.graph;
  expect(nodes.map(({ op }) => op)).toEqual(['Mul', 'Identity']);
  expect((await runtime.compile('rows', fn).run({ x })).y.data).toEqual(Float32Array.of(4, 50, 600));
  runtime.dispose();
});

test('a batch is divided among lanes, and each works on its part', async () => {
  const seen: number[][][] = [];
  const lanes = [0, 1].map(
    (lane): OrtModule => ({
      ...ort,
      InferenceSession: {
        async create(model, options) {
          const session = await ort.InferenceSession.create(model, options);
          return {
            run(feeds) {
              (seen[lane] ??= []).push(Object.values(feeds).flatMap(({ dims }) => dims));
              return session.run(feeds);
            },
            release: () => session.release(),
          };
        },
      },
    }),
  );
  const [first = ort, ...others] = lanes;
  const runtime = await createOnnxRuntime({ ort: first, others });
  const weight = await runtime.place(stored('lanes', 'F32', bytesOf(NUMBERS), true), { shape: [2, 3] });
  const fn = ({ x, factor }: Record<'x' | 'factor', tf.Tensor>) => {
    const y = tf.mul(tf.matMul(x, weight), factor);
    return { y, mean: tf.mean(y) };
  };
  const whole = runtime.compile('whole', fn);
  const divided = runtime.compile('divided', fn, { batched: { shared: ['factor'], means: ['mean'] } });
  const x = { data: Float32Array.from({ length: 8 }, (_, i) => i), shape: [4, 2] };
  const inputs = { x, factor: { data: Float32Array.of(2), shape: [1] } };
  seen.length = 0;
  const expected = await whole.run(inputs);
  expect(seen).toEqual([[[4, 2, 1]]]);
  seen.length = 0;
  expect(await divided.run(inputs)).toEqual(expected);
  expect(seen).toEqual([[[2, 2, 1]], [[2, 2, 1]]]);
  runtime.dispose();
});

test('numbers that are none are refused when a weight is placed', async () => {
  const runtime = await createOnnxRuntime({ ort, threads: 1 });
  const ref = stored('nan', 'F32', bytesOf(Float32Array.of(1, 2, 3, Number.NaN, 5, 6)), false);
  await expect(runtime.place(ref, { shape: [2, 3] })).rejects.toMatchObject({ code: 'WEIGHT_NOT_FINITE' });
});

test('a file that changed since it was placed is refused', async () => {
  const runtime = await createOnnxRuntime({ ort, threads: 1 });
  const ref = stored('changing', 'F32', bytesOf(NUMBERS), true);
  const weight = await runtime.place(ref, { shape: [2, 3] });
  Object.assign(ref.source, { version: '2' });
  const same = runtime.compile('same', () => ({ y: tf.add(weight, 1) }));
  await expect(same.run({})).rejects.toMatchObject({ code: 'WEIGHT_CHANGED' });
});

test('a model that was disposed of runs no more, and leaves nothing of what it was preparing', async () => {
  const { ort: counted, alive } = counting(ort);
  const runtime = await createOnnxRuntime({ ort: counted, threads: 1 });
  const twice = runtime.compile('twice', ({ x }: Record<'x', tf.Tensor>) => ({ y: tf.add(x, x) }));
  const x = { data: Float32Array.of(1, 2), shape: [2] };
  expect((await twice.run({ x })).y.data).toEqual(Float32Array.of(2, 4));
  const begun = [twice.run({ x }), twice.run({ x: { ...x, shape: [1, 2] } })];
  await expect.poll(alive).toBe(2);
  runtime.dispose();
  for (const { y } of await Promise.all(begun)) expect(y.data).toEqual(Float32Array.of(2, 4));
  await expect(twice.run({ x })).rejects.toMatchObject({
    code: 'OPTION_INVALID',
    message: 'model: expected a loaded model, found one that was disposed of. Load it again.',
  });
  await expect.poll(alive).toBe(0);
});

test('a module or a provider that does not work says so', async () => {
  await expect(createOnnxRuntime({ ort, provider: 'no-such-provider' })).rejects.toMatchObject({
    code: 'BACKEND_UNAVAILABLE',
  });
  const broken = { ...ort, InferenceSession: { create: () => Promise.reject(new Error('no library')) } };
  await expect(createOnnxRuntime({ ort: broken })).rejects.toThrow(/no library/);
});

test('failures are named by what is missing', () => {
  expect(sessionError('x', new Error('std::bad_alloc')).code).toBe('BACKEND_MEMORY');
  expect(sessionError('x', new Error('GPU device lost')).code).toBe('BACKEND_LOST');
  expect(sessionError('x', 'anything else').code).toBe('BACKEND_UNAVAILABLE');
});

test('the folder above all files', () => {
  expect(commonFolder(['/a/bc/d', '/a/bd/e', '/a/bc/f/g'])).toBe('/a/');
  expect(commonFolder(['C:\\m\\unet\\x', 'C:\\m\\vae\\x'])).toBe('C:\\m\\');
  expect(commonFolder([])).toBe('');
});

test('providers are tried, the fastest first', async () => {
  const found = await probeProviders(ort, ['no-such-provider', 'cpu']);
  expect(found.map(({ provider, works }) => [provider, works])).toEqual([
    ['cpu', true],
    ['no-such-provider', false],
  ]);
});

/** ONNX Runtime that counts its sessions, and refuses to release one that works. */
function counting(module: OrtModule): { ort: OrtModule; alive(): number; most(): number } {
  let [alive, most] = [0, 0];
  return {
    alive: () => alive,
    most: () => most,
    ort: {
      ...module,
      InferenceSession: {
        async create(model, options) {
          const session = await module.InferenceSession.create(model, options);
          most = Math.max(most, ++alive);
          let runs = 0;
          return {
            run: (feeds) => {
              runs += 1;
              return session.run(feeds).finally(() => (runs -= 1));
            },
            release: async () => {
              if (runs > 0) throw new Error('it works');
              await session.release();
              alive -= 1;
            },
          };
        },
      },
    },
  };
}

describe('beside large weights on a GPU', () => {
  const F16 = ['shader-f16'];
  const optimized = join(folder, 'optimized.onnx');
  /** The CPU in the place of a GPU. */
  const imitated = (knowsHalves: boolean): OrtModule => ({
    ...ort,
    InferenceSession: {
      create: (model, options = {}) =>
        options.extra?.['optimization'] && !knowsHalves
          ? Promise.reject(new Error('the device does not support f16'))
          : ort.InferenceSession.create(model, { ...options, executionProviders: ['cpu'] }),
    },
  });
  const zeros: ByteSource = {
    name: 'large',
    size: 2 ** 28,
    read: (_, length) => Promise.resolve(new Uint8Array(length)),
  };
  const large: TensorRef = { name: 'large', dtype: 'F16', shape: [2 ** 27], source: zeros, offset: 0, length: 2 ** 28 };

  test.each([
    ['a weight of float16 is cast for each node, right before it', 'F16', true, F16, ['Cast', 'MatMul', 'Cast', 'Mul']],
    ['it is made float32 where the adapter knows no float16', 'F16', false, F16, ['MatMul', 'Mul']],
    ['and where the device of a browser has it not', 'F16', true, [], ['MatMul', 'Mul']],
    ['bfloat16, which no adapter knows, is made float32', 'BF16', true, F16, ['MatMul', 'Mul']],
  ] as const)('%s', async (_, dtype, knowsHalves, features, expected) => {
    const runtime = await createOnnxRuntime({
      ort: imitated(knowsHalves),
      provider: 'webgpu',
      threads: 1,
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- nothing else is asked of it
      device: { features: new Set<string>(features) } as unknown as NonNullable<SessionSettings['device']>,
      sessionOptions: { optimizedModelFilePath: optimized },
    });
    const bytes = bytesOf(dtype === 'F16' ? toFloat16(NUMBERS) : bfloat16);
    const weight = await runtime.place(stored(dtype, dtype, bytes, true), { shape: [2, 3] });
    const twice = ({ x }: Record<'x', tf.Tensor>) => ({ y: tf.mul(tf.matMul(x, weight), weight) });
    const input = { x: { data: Float32Array.of(1, 10, 100, 1000), shape: [2, 2] } };
    // Names of nodes begin with their operator and lie in the file in the order in which they run.
    const nodes = () => readFileSync(optimized, 'latin1').match(/(?:Cast|MatMul|Mul)(?=_v)/g);
    const { y } = await runtime.compile('twice', twice).run(input);
    expect(y.data).toEqual(Float32Array.of(41, 2 * 52, 3 * 63, 4 * 4100, 5 * 5200, 6 * 6300));
    expect(nodes()).toEqual(['MatMul', 'Mul']);
    await runtime.place(large, { shape: large.shape });
    expect(await runtime.compile('twice beside large weights', twice).run(input)).toEqual({ y });
    expect(nodes()).toEqual(expected);
    runtime.dispose();
  });

  test.each([
    ['webgpu', 1],
    ['cpu', 3],
  ])('sessions of a function on %s, for inputs of three shapes: %i', async (provider, sessions) => {
    const { ort: counted, alive, most } = counting(imitated(true));
    const runtime = await createOnnxRuntime({ ort: counted, provider, threads: 1 });
    for (let i = 0; i < 2; i++) await runtime.place(large, { shape: large.shape });
    const twice = runtime.compile('twice', ({ x }: Record<'x', tf.Tensor>) => ({ y: tf.add(x, x) }));
    const of = (length: number) => twice.run({ x: { data: new Float32Array(length).fill(length), shape: [length] } });
    const lengths = [1, 2, 4, 2, 2];
    for (const length of lengths) expect((await of(length)).y.data).toEqual(new Float32Array(length).fill(2 * length));
    const atOnce = await Promise.all(lengths.map(of));
    expect(atOnce.map(({ y }) => y.data[0])).toEqual(lengths.map((length) => 2 * length));
    expect([alive(), most()]).toEqual([sessions, sessions]);
    runtime.dispose();
    await expect.poll(alive).toBe(0);
  });
});

test('a large model keeps its filters as they lie in the file; a small one turns them around', () => {
  const ref = stored('filter', 'F32', bytesOf(new Float32Array(9)), false);
  const filter = weightTensor(ref, [3, 3, 1, 1], undefined);
  const operators = (roomy: boolean): string[] => {
    const target = { loops: true, fused: true, launches: false, roomy };
    const { recorder } = recordGraph(
      target,
      ({ dy }) => ({ dx: tf.conv2dTranspose(dy as tf.Tensor4D, filter as tf.Tensor4D, [1, 4, 4, 1], 1, 'same') }),
      { dy: { shape: [1, 4, 4, 1] } },
    );
    return recorder.graph.nodes.map(({ op }) => op);
  };
  expect(operators(false)).toContain('ConvTranspose');
  expect(operators(true)).toContain('Conv');
});
