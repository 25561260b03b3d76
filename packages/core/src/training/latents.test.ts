import { beforeEach, describe, expect, test, vi } from 'vitest';
import type { DiffusionModel } from '../models/diffusion-model.js';
import { Generator } from '../random.js';
import { drawLatents, encodeDataset, type Posterior } from './latents.js';

const dispose = vi.fn<() => void>();
beforeEach(() => dispose.mockClear());

/** An autoencoder whose mean is the picture's first number, and whose logarithms of variances are the next ones. */
const model = {
  functions: {
    encodePicture: {
      run: async ({ picture }: { picture: { data: Float32Array } }) => ({
        mean: { data: new Float32Array(4).fill(picture.data[0] ?? 0), shape: [1, 1, 2, 2] },
        logvar: { data: picture.data.slice(1, 5), shape: [1, 1, 2, 2] },
      }),
      dispose,
    },
  },
} as unknown as DiffusionModel;
const square = (...numbers: number[]) => ({ data: Float32Array.from(numbers), shape: [1, 3, 1, 2] });

describe('encodeDataset', () => {
  test('each square once, with variances kept where a network may not go', async () => {
    const seen: [number, number][] = [];
    const pictures = [{ squares: [square(1, 0, 2, -100, 100), square(2, 0, 0, 0, 0)] }, { squares: [square(3)] }];
    const encoded = await encodeDataset(model, pictures, {
      onProgress: (done, total) => {
        expect(dispose).not.toHaveBeenCalled();
        seen.push([done, total]);
      },
    });
    expect(dispose).toHaveBeenCalledOnce();
    expect(encoded.map((posteriors) => posteriors.map(({ mean }) => mean[0]))).toEqual([[1, 2], [3]]);
    expect(encoded[0]?.[0]?.shape).toEqual([1, 2, 2]);
    const expected = [1, Math.E, Math.exp(-15), Math.exp(10)];
    expected.forEach((value, i) => expect(encoded[0]?.[0]?.deviation[i]).toBeCloseTo(value, 2));
    expect(seen).toEqual([
      [1, 3],
      [2, 3],
      [3, 3],
    ]);
  });

  test('stops before the next square', async () => {
    const stop = new AbortController();
    const done: number[] = [];
    const encoding = encodeDataset(model, [{ squares: [square(1), square(2)] }], {
      signal: stop.signal,
      onProgress: (count) => {
        done.push(count);
        stop.abort();
      },
    });
    await expect(encoding).rejects.toMatchObject({ code: 'ABORTED' });
    expect(done).toEqual([1]);
  });
});

describe('drawLatents', () => {
  const posterior: Posterior = {
    mean: Float32Array.of(1, 2, 3, 4),
    deviation: Float32Array.of(0, 0.5, 1, 0),
    shape: [1, 2, 2],
  };

  test('mean and deviation, shifted and scaled; one draw of the generator', () => {
    const generator = new Generator(5);
    const latents = drawLatents(posterior, { scalingFactor: 2, shiftFactor: 0.25 }, generator);
    const reference = new Generator(5);
    const normals = reference.normal(4);
    const expected = [1.5, 3.5 + (normals[1] ?? 0), 5.5 + 2 * (normals[2] ?? 0), 7.5];
    expected.forEach((value, i) => expect(latents[i]).toBeCloseTo(value, 5));
    expect(generator.state()).toEqual(reference.state());
  });
});
