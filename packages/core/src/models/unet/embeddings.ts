import type { HostTensor } from '../../platform.js';
import type { SinusoidConfig } from './config.js';

const MAX_PERIOD = 10_000;

/**
 * Turns each number into sinusoids of falling frequency, in float32 as the reference does.
 * @param values - Timesteps, or sizes in pixels; `[N]`.
 * @returns `[N, width]`
 * @see Vaswani et al. 2017, arXiv 1706.03762, section 3.5; Ho et al. 2020, arXiv 2006.11239
 */
export function sinusoids(values: ArrayLike<number>, { width, cosineFirst, shift }: SinusoidConfig): HostTensor {
  const half = Math.floor(width / 2);
  const data = new Float32Array(values.length * width);
  const [sines, cosines] = cosineFirst ? [half, 0] : [0, half];
  for (let i = 0; i < half; i++) {
    const exponent = Math.fround(Math.fround(-Math.log(MAX_PERIOD) * i) / Math.fround(half - shift));
    const frequency = Math.fround(Math.exp(exponent));
    for (let n = 0; n < values.length; n++) {
      const angle = Math.fround((values[n] ?? 0) * frequency);
      data[n * width + sines + i] = Math.sin(angle);
      data[n * width + cosines + i] = Math.cos(angle);
    }
  }
  return { data, shape: [values.length, width] };
}

/** @param timesteps - `[B]` @returns `[B, width]`, the UNet's `time` input. */
export function timestepEmbedding(timesteps: ArrayLike<number>, config: { readonly time: SinusoidConfig }): HostTensor {
  return sinusoids(timesteps, config.time);
}

/**
 * SDXL's sizes as the UNet's `sizes` input.
 * @param sizes - Per picture six numbers: original height and width, top and left of the crop, target height and width.
 * @returns `[B, 6 * width]`
 */
export function sizeEmbedding(sizes: readonly (readonly number[])[], sinusoid: SinusoidConfig): HostTensor {
  const { data } = sinusoids(sizes.flat(), sinusoid);
  return { data, shape: [sizes.length, data.length / sizes.length] };
}
