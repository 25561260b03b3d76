/** Running means of a parameter's gradient and of its square. */
export interface AdamWState {
  readonly step: number;
  readonly first: Float32Array;
  readonly second: Float32Array;
}

export interface AdamWOptions {
  readonly learningRate: number;
  /** @defaultValue [0.9, 0.999] */
  readonly betas?: readonly [number, number];
  /** @defaultValue 1e-8 */
  readonly epsilon?: number;
  /**
   * How fast parameters fall towards zero without a gradient, times the learning rate.
   *
   * Zero by default, unlike in the reference script (0.01): the rows live among the vocabulary's, whose size the text encoder is used to, and
   * decay would pull them to the origin, where no word is.
   * @defaultValue 0
   */
  readonly weightDecay?: number;
}

export function createAdamWState(size: number): AdamWState {
  return { step: 0, first: new Float32Array(size), second: new Float32Array(size) };
}

/**
 * One step of AdamW, as `torch.optim.AdamW` takes it.
 * @returns New parameters and a new state; what came in stays as it was.
 * @see Loshchilov & Hutter 2019, arXiv 1711.05101, algorithm 2
 */
export function adamwStep(
  state: AdamWState,
  params: Float32Array,
  gradient: Float32Array,
  { learningRate, betas: [beta1, beta2] = [0.9, 0.999], epsilon = 1e-8, weightDecay = 0 }: AdamWOptions,
): { params: Float32Array; state: AdamWState } {
  const step = state.step + 1;
  const first = state.first.map((mean, i) => beta1 * mean + (1 - beta1) * (gradient[i] ?? 0));
  const second = state.second.map((mean, i) => beta2 * mean + (1 - beta2) * (gradient[i] ?? 0) ** 2);
  const size = learningRate / (1 - beta1 ** step);
  const correction = Math.sqrt(1 - beta2 ** step);
  const moved = params.map((value, i) => {
    const decayed = value * (1 - learningRate * weightDecay);
    return decayed - (size * (first[i] ?? 0)) / (Math.sqrt(second[i] ?? 0) / correction + epsilon);
  });
  return { params: moved, state: { step, first, second } };
}

/** Shortens gradients in place so that their common norm is at most `maxNorm`. @see torch.nn.utils.clip_grad_norm_ */
export function clipGradients(gradients: readonly Float32Array[], maxNorm: number): void {
  const norm = Math.sqrt(gradients.reduce((sum, g) => sum + g.reduce((s, value) => s + value * value, 0), 0));
  const scale = Math.min(1, maxNorm / (norm + 1e-6));
  for (const gradient of gradients) for (let i = 0; i < gradient.length; i++) gradient[i] = (gradient[i] ?? 0) * scale;
}
