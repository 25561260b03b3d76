import type { HostTensor, TensorFunction } from '@textual-inversion/core';
import { tf } from '@textual-inversion/core';
import { createOnnxRuntime } from './runtime.js';
import type { OrtModule } from './session.js';

/** What one execution provider did in a short trial. */
export interface ProbedProvider {
  readonly provider: string;
  readonly works: boolean;
  /** Seconds of a small convolution and its like, after a first run; what to choose by. A software adapter works, slowly. */
  readonly seconds?: number;
  readonly problem?: string;
}

const CHANNELS = 64;
const SIDE = 32;

/**
 * Tries execution providers for real: each runs a few convolutions. The fastest comes first, those that do not work last.
 * @param providers - Such as `cpu`, `webgpu`, `cuda`, `dml`, `coreml`.
 */
export async function probeProviders(ort: OrtModule, providers: readonly string[]): Promise<ProbedProvider[]> {
  const found: ProbedProvider[] = [];
  // One after another: two at a time would measure each other.
  for (const provider of providers) found.push(await probe(ort, provider));
  return found.toSorted((a, b) => (a.seconds ?? Number.POSITIVE_INFINITY) - (b.seconds ?? Number.POSITIVE_INFINITY));
}

/** Four convolutions and a mean: enough for a difference, little enough for a software adapter. */
const convolutions: TensorFunction<'x' | 'filter', 'y'> = ({ x, filter }) => {
  let y = tf.reshape<tf.Rank.R4>(x, [1, SIDE, SIDE, CHANNELS]);
  for (let layer = 0; layer < 4; layer++)
    y = tf.conv2d(y, tf.reshape<tf.Rank.R4>(filter, [3, 3, CHANNELS, CHANNELS]), 1, 'same');
  return { y: tf.mean(y) };
};

async function probe(ort: OrtModule, provider: string): Promise<ProbedProvider> {
  try {
    const runtime = await createOnnxRuntime({ ort, provider });
    const trial = runtime.compile('probe', convolutions);
    try {
      const inputs = { x: numbers(SIDE * SIDE * CHANNELS), filter: numbers(9 * CHANNELS * CHANNELS) };
      await trial.run(inputs);
      const began = performance.now();
      await trial.run(inputs);
      return { provider, works: true, seconds: (performance.now() - began) / 1000 };
    } finally {
      runtime.dispose();
    }
  } catch (error) {
    return {
      provider,
      works: false,
      problem: error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error),
    };
  }
}

function numbers(count: number): HostTensor {
  return { data: Float32Array.from({ length: count }, (_, i) => Math.sin(i) / CHANNELS), shape: [count] };
}
