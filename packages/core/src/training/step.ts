import { encodePrompts, type PromptEncoder } from '../models/prompt-context.js';
import { denoise, type Unet } from '../models/unet/model.js';
import { valueAndGrads } from '../nn/gradients.js';
import type { CompiledFunction, Runtime, TensorFunction } from '../platform.js';
import type { Scalar, Tensor } from '../tf.js';
import * as tf from '../tf.js';

// Shapes: B batch · C, H, W latents · S prompt tokens · V rows of the concept · D width of an encoder

/** What a training step computes with: all of it frozen. */
export interface StepModel {
  readonly encoders: readonly PromptEncoder[];
  readonly unet: Unet;
  /** Less memory for a third more work: see `DenoiseOptions`. @defaultValue false */
  readonly recompute?: boolean;
}

/**
 * The training step: how well does the network, told the prompts with the concept's rows in them, predict `target` from
 * `noisy`, and which way should the rows move? A pure function of its inputs, so that a runtime may record it once and run it for
 * every step.
 *
 * | input | shape | |
 * |---|---|---|
 * | `rows.I` | `[V, D]` | the concept in encoder number `I`: what is trained |
 * | `embedded.I`, `slots.I`, `ends.I` | `[B, S, D]`, `[B, S, V]`, `[B, S]` | the prompts: see `PromptInputs` |
 * | `noisy`, `target` | `[B, C, H, W]` | latents with noise, and what the network should say |
 * | `weights` | `[B]` | weight of each picture's loss |
 * | `time` | `[B, C0]` | see `timestepEmbedding` |
 * | `sizes` | `[B, 6 W]` | SDXL alone: see `sizeEmbedding` |
 *
 * Outputs: `loss` (a scalar, the weighted mean of squared differences) and its gradient `rows.I`.
 * @see Gal et al. 2022, arXiv 2208.01618, equation 2
 */
export function trainingStep({ encoders, unet, recompute }: StepModel): TensorFunction<string, string> {
  return (inputs) => {
    const input = (name: string): Tensor => {
      const tensor = inputs[name];
      if (!tensor) throw new Error(`a training step needs the input ${name}`);
      return tensor;
    };
    const loss = (...rows: Tensor[]): Scalar => {
      const prompts = rows.map((concept, i) => ({
        rows: concept,
        embedded: input(`embedded.${i}`),
        slots: input(`slots.${i}`),
        ends: input(`ends.${i}`),
      }));
      const { context, pooled } = encodePrompts(encoders, prompts);
      const seen = {
        sample: toChannelsLast(input('noisy')),
        time: input('time'),
        context,
        pooled,
        sizes: inputs['sizes'],
      };
      const prediction = denoise(unet, seen, { recompute });
      return weightedSquaredError(prediction, toChannelsLast(input('target')), input('weights'));
    };
    const { value, grads } = valueAndGrads(loss)(encoders.map((_, i) => input(`rows.${i}`)));
    return { loss: value, ...Object.fromEntries(grads.map((gradient, i) => [`rows.${i}`, gradient])) };
  };
}

/** Prepares the training step. A batch may be divided: its loss and its gradients are means of those of its pictures. */
export function compileTrainingStep(runtime: Runtime, model: StepModel): CompiledFunction<string, string> {
  const rows = model.encoders.map((_, i) => `rows.${i}`);
  return runtime.compile('training-step', trainingStep(model), {
    batched: { shared: rows, means: ['loss', ...rows] },
    often: true,
  });
}

/** `mean(weight * (prediction - target)^2)` over the batch. @param weights - `[B]` */
function weightedSquaredError(prediction: Tensor, target: Tensor, weights: Tensor): Scalar {
  const perPicture = tf.mean(tf.square(tf.sub(prediction, target)), [1, 2, 3]); // [B]
  return tf.mean(tf.mul(perPicture, weights));
}

function toChannelsLast(x: Tensor): Tensor {
  return tf.transpose(x, [0, 2, 3, 1]);
}
