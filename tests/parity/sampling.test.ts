import { afterAll, describe, expect, it } from 'vitest';
import { type GenerateOptions, generate } from '../../packages/core/src/index.js';
import { preparePrompts } from '../../packages/core/src/models/prompt-inputs.js';
import { sizeEmbedding, timestepEmbedding } from '../../packages/core/src/models/unet/embeddings.js';
import type { HostTensor } from '../../packages/core/src/platform.js';
import { readSchedulerConfig } from '../../packages/core/src/schedules/foreign.js';
import { createNoiseSchedule } from '../../packages/core/src/schedules/noise.js';
import { createSampler } from '../../packages/core/src/schedules/samplers/index.js';
import { about, expectClose, golden, readTensors } from '../support/golden.js';
import { loadGoldenModel } from '../support/model.js';
import { families, pick } from '../support/models.js';

interface Kind {
  cls: string;
  timesteps: number[];
  config: Record<string, unknown>;
}
interface About {
  prompt: string;
  negative_prompt: string;
  guidance_scale: number;
  steps: number;
}

describe.each(families)('guided sampling of %s', async (family) => {
  const path = golden(`${family}-golden`, 'sampling.safetensors');
  const meta = about<About & Record<string, Kind>>(path);
  const tensors = readTensors(path);
  const host = (name: string): HostTensor => {
    const { data, shape } = pick(tensors, name);
    return { data: Float32Array.from(data), shape };
  };
  const model = await loadGoldenModel(family);
  afterAll(() => model.dispose());
  const kinds = Object.entries(meta).filter(([, kind]) => typeof kind === 'object' && 'cls' in kind) as [
    string,
    Kind,
  ][];

  const text = readTensors(golden(`${family}-golden`, 'text.safetensors'));
  const rows = model.textEncoders.map((_, i) => {
    const { data, shape } = pick(text, i === 0 ? 'rows' : `rows_${i + 1}`);
    return { data: Float32Array.from(data), shape };
  });
  const concept = { token: '<concept>', rows, info: {} };
  const prompt = meta.prompt.replaceAll('*', concept.token);

  it('encodes the prompts as the reference does', async () => {
    const prompts = [prompt, meta.negative_prompt];
    const { inputs } = await preparePrompts(model.textEncoders, prompts, [concept]);
    const { context } = await model.functions.encodePrompts.run(inputs);
    const expected = host('context');
    const half = expected.data.length / 2;
    expectClose(context?.data.slice(0, half) ?? [], expected.data.slice(0, half), 1e-4, 'context');
    if (!model.zerosForEmptyPrompt)
      expectClose(context?.data.slice(half) ?? [], expected.data.slice(half), 1e-4, 'empty context');
  });

  /** What the network is told in its first call for a picture of the golden prompt. */
  const told = async (options: Partial<GenerateOptions>) => {
    const calls: Record<string, HostTensor>[] = [];
    const { denoise } = model.functions;
    const run: typeof denoise.run = (inputs) => {
      calls.push(inputs);
      return denoise.run(inputs);
    };
    const functions = { ...model.functions, denoise: { ...denoise, run } };
    const shared = { prompt, negativePrompt: meta.negative_prompt, concepts: [concept], steps: 1 };
    await generate({ ...model, functions }, { ...shared, ...options });
    return calls[0] ?? {};
  };
  /** Without the prompt first, as the network is told; the goldens hold the conditional half first. */
  const turned = (name: string) => {
    const { data } = host(name);
    return Float32Array.from([...data.slice(data.length / 2), ...data.slice(0, data.length / 2)]);
  };

  it('tells the network what the reference tells it', async () => {
    const inputs = await told({});
    const { addition } = model.unet.config;
    const names = ['sample', 'time', 'context', ...(addition ? ['pooled', 'sizes'] : [])];
    expect(Object.keys(inputs).toSorted()).toEqual(names.toSorted());
    expectClose(inputs['context']?.data ?? [], turned('context'), 1e-4, 'context');
    if (!addition) return;
    expectClose(inputs['pooled']?.data ?? [], turned('pooled'), 1e-4, 'pooled');
    // Height before width: the original size, the corner of the crop, the size that is drawn.
    const { sizes } = await told({ widthPx: 40, heightPx: 56 });
    const six = [56, 40, 0, 0, 56, 40];
    expect(sizes).toEqual(sizeEmbedding([six, six], addition.sinusoid));
  });

  it.each(kinds)('%s', async (name, kind) => {
    const { sampler: samplerName, samplerOptions } = readSchedulerConfig({ _class_name: kind.cls, ...kind.config });
    const { prediction, noise } = model.scheduler;
    const sampler = createSampler(samplerName, createNoiseSchedule(noise), {
      ...samplerOptions,
      steps: meta.steps,
      prediction,
    });
    expectClose(sampler.timesteps, kind.timesteps, 1e-6, 'timesteps');
    const start = host('start');
    const { shape } = start;
    const inputs: Record<string, HostTensor> = { context: host('context') };
    const { addition } = model.unet.config;
    if (addition) {
      inputs['pooled'] = host('pooled');
      const sizes = Array.from(
        pick(readTensors(golden(`${family}-golden`, 'unet.safetensors')), 'time_ids').data,
      ).slice(0, 6);
      inputs['sizes'] = sizeEmbedding([sizes, sizes], addition.sinusoid);
    }
    let sample: Float32Array = start.data.map((x) => x * sampler.initNoiseSigma);
    for (const [index, timestep] of sampler.timesteps.entries()) {
      const scaled = sampler.scaleModelInput(sample, index);
      const { output } = await model.functions.denoise.run({
        ...inputs,
        sample: { data: Float32Array.from([...scaled, ...scaled]), shape: [2, ...shape.slice(1)] },
        time: timestepEmbedding([timestep, timestep], model.unet.config),
      });
      const said = output?.data ?? new Float32Array();
      const half = said.length / 2;
      // The goldens hold the conditional half first.
      const guided = said
        .slice(0, half)
        .map((with_, i) => (said[half + i] ?? 0) + meta.guidance_scale * (with_ - (said[half + i] ?? 0)));
      sample = sampler.step(guided, index, sample);
    }
    expectClose(sample, host(`${name}.latents`).data, 1e-3, 'latents');
    const { scalingFactor } = model.autoencoder.config;
    const { picture } = await model.functions.decodeLatents.run({
      latents: { data: sample.map((value) => value / scalingFactor), shape },
    });
    expectClose(picture?.data ?? [], host(`${name}.image`).data, 1e-3, 'picture');
    expect(picture?.shape).toEqual(host(`${name}.image`).shape);
  });
});
