import type { JSHandle, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { DiffusionModel, HostTensor } from '../../packages/core/src/index.js';
import { about, expectClose, GOLDEN, golden, readTensors } from '../support/golden.js';
import { denoiseInputs, gradientInputs } from '../support/golden-inputs.js';
import { loadGoldenModel } from '../support/model.js';
import { families, pick } from '../support/models.js';
import { goldenPrompts } from '../support/prompts.js';
import { host, promptsOf } from '../support/step-inputs.js';
import type { Library } from './page/main.js';
import { filesOf } from './support/files.js';
import { type OpenLibrary, openLibrary } from './support/library.js';

type Parts = Awaited<ReturnType<Library['openParts']>>;

/** Bounds of forward numbers, of gradients and of the loss: every engine computes in float32, within a tenth of them. */
const BOUNDS = { forward: 1e-4, gradient: 3e-4, loss: 1e-4 };

/** The software adapter takes seconds for what the CPU does in milliseconds: three minutes for all of its cases. */
const CASES = [
  { backend: 'onnx-wasm', webgpu: false },
  { backend: 'wasm', webgpu: false },
  { backend: 'onnx-webgpu', webgpu: true },
  { backend: 'webgpu', webgpu: true },
];

describe.each(CASES)('$backend in Chromium', ({ backend, webgpu }) => {
  let opened: OpenLibrary;
  let page: Page;
  beforeAll(async () => {
    opened = await openLibrary({ golden: GOLDEN }, { webgpu });
    page = opened.page;
  }, 180_000);
  afterAll(() => opened.close());

  describe.each(families)('%s', (family) => {
    let model: DiffusionModel;
    let parts: JSHandle<Parts>;
    const file = (name: string) => golden(`${family}-golden`, `${name}.safetensors`);
    const { idsOf } = goldenPrompts(family);
    const suffixes = () => model.textEncoders.map((_, i) => (i === 0 ? '' : `_${i + 1}`));
    const run = (name: Parameters<Parts['run']>[0], inputs: Record<string, HostTensor>) =>
      parts.evaluate((model, [fn, given]) => model.run(fn, given), [name, plain(inputs)] as const);

    beforeAll(async () => {
      model = await loadGoldenModel(family); // its tables and settings; the numbers come from the browser
      parts = await page.evaluateHandle(([url, files, name]) => library.openParts(url, files, name), [
        `${opened.origin}/golden/${family}`,
        filesOf(golden(family)),
        backend,
      ] as const);
    }, 300_000);
    afterAll(async () => {
      model.dispose();
      await parts.evaluate((model) => model.dispose());
    });

    test('text', async () => {
      const tensors = readTensors(file('text'));
      const { prompts } = about<{ prompts: string[] }>(file('text'));
      const rows = suffixes().map((suffix) => host(pick(tensors, `rows${suffix}`)));
      const { context, pooled } = await run('encodePrompts', await promptsOf(model, idsOf, prompts, rows));
      expectClose(context ?? [], pick(tensors, 'context').data, BOUNDS.forward, 'context');
      expectClose(pooled ?? [], pick(tensors, 'pooled').data, BOUNDS.forward, 'pooled');
    });

    test('UNet', async () => {
      const tensors = readTensors(file('unet'));
      const { output } = await run('denoise', denoiseInputs(model, family));
      expectClose(output ?? [], pick(tensors, 'output').data, BOUNDS.forward, 'output');
    });

    test('autoencoder', async () => {
      const tensors = readTensors(file('vae'));
      const image = host(pick(tensors, 'image'));
      const { mean = [], logvar = [] } = await run('encodePicture', { picture: image });
      const moments = host(pick(tensors, 'moments'));
      const batch = moments.shape[0] ?? 1;
      const half = (part: readonly number[], b: number) =>
        part.slice((b * part.length) / batch, ((b + 1) * part.length) / batch);
      const joined = Array.from({ length: batch }, (_, b) => [...half(mean, b), ...half(logvar, b)]);
      expectClose(joined.flat(), moments.data, BOUNDS.forward, 'moments');
      const { picture } = await run('decodeLatents', { latents: host(pick(tensors, 'latent')) });
      expectClose(picture ?? [], pick(tensors, 'decoded').data, BOUNDS.forward, 'decoded');
    });

    test('loss and gradient of the rows', async () => {
      const tensors = readTensors(file('gradient'));
      const inputs = await gradientInputs(model, family);
      const held = await parts.evaluate((model) => model.memory());
      const outputs = await run('step', inputs);
      expect(await parts.evaluate((model) => model.memory()), 'tensors after a step').toEqual(held);
      expectClose(outputs['loss'] ?? [], pick(tensors, 'loss').data, BOUNDS.loss, 'loss');
      suffixes().forEach((suffix, i) =>
        expectClose(outputs[`rows.${i}`] ?? [], pick(tensors, `grad.rows${suffix}`).data, BOUNDS.gradient, `rows ${i}`),
      );
    });
  });
});

function plain(inputs: Record<string, HostTensor>) {
  return Object.fromEntries(
    Object.entries(inputs).map(([name, { data, shape }]) => [name, { data: [...data], shape: [...shape] }]),
  );
}
