import '@tensorflow/tfjs-backend-cpu';
import { beforeAll, expect, test } from 'vitest';
import { valueAndGrads } from '../../nn/gradients.js';
import type { Tensor } from '../../tf.js';
import * as tf from '../../tf.js';
import type { Scope } from '../../weights/scope.js';
import { timestepEmbedding } from './embeddings.js';
import { readUnetConfig } from './foreign.js';
import { denoise, readUnet } from './model.js';

beforeAll(() => tf.setBackend('cpu'));

const CONFIG = readUnetConfig(
  {
    block_out_channels: [8, 8, 8],
    down_block_types: ['CrossAttnDownBlock2D', 'DownBlock2D', 'DownBlock2D'],
    up_block_types: ['UpBlock2D', 'UpBlock2D', 'CrossAttnUpBlock2D'],
    layers_per_block: 1,
    norm_num_groups: 2,
    attention_head_dim: 2,
    cross_attention_dim: 4,
  },
  'unet/config.json',
);

function invented(path: string): Scope {
  return {
    path,
    in: (name) => invented(path === '' ? name : `${path}.${name}`),
    firstOf: (...names) => invented(`${path}.${names.join('|')}`),
    has: () => true,
    ignore: () => {},
    tensor: (_, shape, permute) => {
      const wanted = permute ? permute.map((axis) => shape[axis] ?? 0) : [...shape];
      const size = wanted.reduce((a, b) => a * b, 1);
      return tf.tensor(
        Float32Array.from({ length: size }, (_, i) => 0.3 * Math.sin(1.3 * i + path.length)),
        wanted,
      );
    },
  };
}

/** Memory in numbers right before the gradient leaves, and the gradient of the context. */
function gradientOfContext(recompute: boolean): { gradient: Float32Array; kept: number } {
  const params = readUnet(invented(''), CONFIG);
  const time = timestepEmbedding([10], CONFIG);
  const timeInput = tf.tensor(time.data, [...time.shape]);
  const sample = invented('sample').tensor('', [1, 8, 8, 4]);
  const context = invented('context').tensor('', [1, 3, 4]);
  const before = tf.memory().numTensors;
  let kept = 0;
  const { value, grads } = valueAndGrads((...[x]) => {
    const y = denoise(params, { sample, time: timeInput, context: x ?? context }, { recompute });
    kept = tf.memory().numTensors - before;
    return tf.sum(tf.square(y));
  })([context]);
  const gradient = grads[0]?.dataSync<'float32'>().slice() ?? new Float32Array();
  tf.dispose([value, grads]);
  expect(tf.memory().numTensors).toBe(before);
  return { gradient, kept };
}

test('recomputing keeps fewer tensors and gives the same gradient', () => {
  const [plain, again] = [gradientOfContext(false), gradientOfContext(true)];
  // Not to the last bit: the parts of a sum arrive in another order.
  plain.gradient.forEach((value, i) => expect(again.gradient[i]).toBeCloseTo(value, 7));
  expect(plain.gradient.some((value) => value !== 0)).toBe(true);
  expect(again.kept).toBeLessThan(plain.kept / 2);
});

function run(height: number, width: number): Tensor {
  const time = timestepEmbedding([10], CONFIG);
  return denoise(readUnet(invented(''), CONFIG), {
    sample: tf.ones([1, height, width, 4]),
    time: tf.tensor(time.data, [...time.shape]),
    context: tf.ones([1, 3, 4]),
  });
}

test.each([
  [8, 8],
  [7, 5],
  [6, 9],
])('latents of %i x %i come back at their size', (height, width) => {
  expect(run(height, width).shape).toEqual([1, height, width, 4]);
});
