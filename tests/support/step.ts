import { timestepEmbedding } from '../../packages/core/src/models/unet/embeddings.js';
import { readSchedulerConfig } from '../../packages/core/src/schedules/foreign.js';
import { createNoiseSchedule } from '../../packages/core/src/schedules/noise.js';
import * as tf from '../../packages/core/src/tf.js';
import { trainingStep } from '../../packages/core/src/training/step.js';
import { type GoldenTensor, golden, readTensors } from './golden.js';
import { jsonFile, loadTextEncoders, loadUnet, numbers, promptInputs, sizesInput, tensor } from './models.js';
import { goldenPrompts } from './prompts.js';

type Numbers = ArrayLike<number>;

/** The training step of a golden pipeline, run eagerly on its own latents, noise, timesteps and prompts. */
export async function loadStep(family: string) {
  const [encoders, unet] = [await loadTextEncoders(family), await loadUnet(family)];
  const { idsOf } = goldenPrompts(family);
  const scheduler = readSchedulerConfig(jsonFile(golden(family, 'scheduler', 'scheduler_config.json')));
  const { alphasCumprod } = createNoiseSchedule(scheduler.noise);
  const timeIds = readTensors(golden(`${family}-golden`, 'unet.safetensors')).get('time_ids');

  /** The step's inputs. @param rows - One `[V, D]` per encoder. @param latents - `[B, C, H, W]`, as `noise`. */
  async function prepare(
    rows: readonly GoldenTensor[],
    prompts: readonly string[],
    latents: GoldenTensor,
    noise: GoldenTensor,
    timesteps: Numbers,
  ): Promise<Record<string, tf.Tensor>> {
    const inputs: Record<string, tf.Tensor> = {};
    for (const [i, encoder] of encoders.entries()) {
      const concept = rows[i];
      if (!concept) throw new Error('one concept per encoder');
      const ids = prompts.map((prompt) => idsOf(encoder.suffix, prompt));
      const prompt = await promptInputs(encoder, ids, concept.shape[0] ?? 0);
      inputs[`rows.${i}`] = tensor(concept);
      for (const [name, value] of Object.entries(prompt)) inputs[`${name}.${i}`] = value;
    }
    // Signal and noise of each picture of the batch.
    const size = latents.data.length / timesteps.length;
    const mixed = (mix: (latent: number, noise: number, signalScale: number, noiseScale: number) => number) =>
      tensor({
        shape: latents.shape,
        data: latents.data.map((latent, k) => {
          const alpha = alphasCumprod[timesteps[Math.floor(k / size)] ?? -1] ?? Number.NaN;
          return mix(latent, noise.data[k] ?? Number.NaN, Math.sqrt(alpha), Math.sqrt(1 - alpha));
        }),
      });
    const noisy = mixed((latent, noise, signalScale, noiseScale) => signalScale * latent + noiseScale * noise);
    const velocity = mixed((latent, noise, signalScale, noiseScale) => signalScale * noise - noiseScale * latent);
    return {
      ...inputs,
      noisy,
      target: scheduler.prediction === 'v_prediction' ? velocity : tensor(noise),
      weights: tf.ones([timesteps.length]),
      time: tensor(timestepEmbedding(timesteps, unet.config)),
      ...sizesInput(unet.config, timeIds, timesteps.length),
    };
  }

  const step = trainingStep({ encoders, unet: unet.params });
  /** Loss and one gradient per encoder. */
  function run(inputs: Record<string, tf.Tensor>): { loss: number; gradients: Float32Array[] } {
    return tf.tidy(() => {
      const outputs = step(inputs);
      const read = (name: string): Float32Array => numbers(named(outputs, name));
      return { loss: read('loss')[0] ?? Number.NaN, gradients: encoders.map((_, i) => read(`rows.${i}`)) };
    });
  }
  return { prepare, run, encoders, unet: unet.params };
}

export function named(tensors: Record<string, tf.Tensor>, name: string): tf.Tensor {
  const tensor = tensors[name];
  if (!tensor) throw new Error(`no tensor ${name}`);
  return tensor;
}
