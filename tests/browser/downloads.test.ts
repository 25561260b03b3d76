import { cpSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { golden } from '../support/golden.js';
import { startBrowser } from './support/browsers.js';
import { builtPage, ISOLATED } from './support/built.js';
import { type Served, serve } from './support/serve.js';

const WEIGHTS = ['text_encoder/model', 'unet/diffusion_pytorch_model', 'vae/diffusion_pytorch_model'] as const;
const folder = mkdtempSync(join(tmpdir(), 'ti-downloads-'));
const [variants, shards] = [join(folder, 'variants'), join(folder, 'shards')];

let served: Served;
let browser: Browser;
let page: Page;
beforeAll(async () => {
  for (const copy of [variants, shards]) cpSync(golden('tiny-sd1'), copy, { recursive: true });
  for (const stem of WEIGHTS) cpSync(join(variants, `${stem}.safetensors`), join(variants, `${stem}.fp16.safetensors`));
  cutInTwo(join(shards, 'unet/diffusion_pytorch_model'));
  served = await serve({ '': await builtPage(), variants, shards }, ISOLATED);
  browser = await startBrowser();
}, 180_000);
afterAll(async () => {
  await browser.close();
  served.close();
  rmSync(folder, { recursive: true, force: true });
});
beforeEach(async () => {
  await page?.context().close();
  served.requests.length = 0;
  page = await (await browser.newContext()).newPage();
  await page.goto(`${served.origin}/`);
  await page.waitForFunction(() => 'library' in globalThis);
});

/** Makes shards and their index of a file of weights. */
function cutInTwo(stem: string): void {
  const file = `${stem}.safetensors`;
  const bytes = readFileSync(file);
  const begin = 8 + Number(bytes.readBigUInt64LE());
  const { __metadata__: _, ...tensors }: Record<string, { data_offsets: [number, number] }> = JSON.parse(
    bytes.subarray(8, begin).toString(),
  );
  const names = Object.keys(tensors);
  const weightMap: Record<string, string> = {};
  for (const [i, half] of [names.slice(0, 40), names.slice(40)].entries()) {
    const shard = `${stem}-0000${i + 1}-of-00002.safetensors`;
    const parts: Buffer[] = [];
    let at = 0;
    const header = Object.fromEntries(
      half.map((name) => {
        const { data_offsets: [from, to] = [0, 0], ...rest } = tensors[name] ?? {};
        parts.push(bytes.subarray(begin + from, begin + to));
        weightMap[name] = shard.slice(shard.lastIndexOf('/') + 1);
        at += to - from;
        return [name, { ...rest, data_offsets: [at - to + from, at] }];
      }),
    );
    const text = Buffer.from(JSON.stringify(header));
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(text.length));
    writeFileSync(shard, Buffer.concat([length, text, ...parts]));
  }
  writeFileSync(`${file}.index.json`, JSON.stringify({ weight_map: weightMap }));
  rmSync(file);
}

/** Loads a model from its address. @returns what is stored then */
const loaded = (name: string, variant?: string) =>
  page.evaluate(
    async ([url, given]) => {
      const model = await library.loadModel(url, { backend: 'onnx-wasm', variant: given });
      const { family } = model;
      await model.dispose();
      return { family, stored: await library.listModels() };
    },
    [`${served.origin}/${name}`, variant] as const,
  );
const fetched = () =>
  served.requests
    .filter(({ method, path }) => method === 'GET' && path.endsWith('.safetensors'))
    .map(({ path }) => path);

test('of several sets of weights one is fetched, and counted', async () => {
  const whole = await loaded('variants');
  expect(fetched().toSorted()).toEqual(WEIGHTS.map((stem) => `/variants/${stem}.safetensors`));
  served.requests.length = 0;
  const half = await loaded('variants', 'fp16');
  expect(fetched().toSorted()).toEqual(WEIGHTS.map((stem) => `/variants/${stem}.fp16.safetensors`));
  const bytes = WEIGHTS.reduce((sum, stem) => sum + statSync(golden('tiny-sd1', `${stem}.safetensors`)).size, 0);
  for (const { stored } of [whole, half]) {
    expect(stored).toMatchObject([{ complete: true }]);
    expect((stored[0]?.totalBytes ?? 0) - bytes, 'the settings').toBeLessThan(2 ** 21);
  }
});

test('a variant that is not there is refused before anything is fetched', async () => {
  const failure = await page.evaluate(
    (url) => library.failureOf(() => library.loadModel(url, { backend: 'onnx-wasm', variant: 'bf16' })),
    `${served.origin}/variants`,
  );
  expect(failure).toMatchObject({
    code: 'MODEL_MISSING_FILE',
    message: expect.stringContaining('fp16, full precision') as string,
  });
  expect(fetched()).toEqual([]);
});

test('shards come with their index', async () => {
  const { family, stored } = await loaded('shards');
  expect(family).toBe('sd1');
  expect(stored).toMatchObject([{ complete: true }]);
  const unet = fetched().filter((path) => path.includes('unet'));
  expect(unet.toSorted()).toEqual(
    [1, 2].map((n) => `/shards/unet/diffusion_pytorch_model-0000${n}-of-00002.safetensors`),
  );
});
