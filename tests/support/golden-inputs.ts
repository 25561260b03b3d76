import type { DiffusionModel, HostTensor } from '../../packages/core/src/index.js';
import { timestepEmbedding } from '../../packages/core/src/models/unet/embeddings.js';
import { about, golden, readTensors } from './golden.js';
import { pick } from './models.js';
import { goldenPrompts } from './prompts.js';
import { host, sizesOf, stepInputs } from './step-inputs.js';

type Inputs = Record<string, HostTensor>;

/** What the UNet took to give a family's golden output. */
export function denoiseInputs(model: DiffusionModel, family: string): Inputs {
  const tensors = readTensors(golden(`${family}-golden`, 'unet.safetensors'));
  const timesteps = [...pick(tensors, 'timesteps').data];
  const { config } = model.unet;
  return {
    sample: host(pick(tensors, 'sample')),
    time: timestepEmbedding(timesteps, config),
    context: host(pick(tensors, 'context')),
    ...(config.addition ? { pooled: host(pick(tensors, 'pooled')) } : {}),
    ...sizesOf(model, timesteps.length),
  };
}

/** What the training step took to give a family's golden loss and gradient. */
export function gradientInputs(model: DiffusionModel, family: string): Promise<Inputs> {
  const path = golden(`${family}-golden`, 'gradient.safetensors');
  const tensors = readTensors(path);
  const { prompts } = about<{ prompts: string[] }>(path);
  const rows = model.textEncoders.map((_, i) => host(pick(tensors, i === 0 ? 'rows' : `rows_${i + 1}`)));
  const [latents, noise] = [host(pick(tensors, 'latents')), host(pick(tensors, 'noise'))];
  const timesteps = [...pick(tensors, 'timesteps').data];
  return stepInputs(model, goldenPrompts(family).idsOf, rows, prompts, latents, noise, timesteps);
}
