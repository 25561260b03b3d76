import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { invert, loadConcept, loadModel } from '../../packages/node/src/index.js';
import { expectClose } from '../support/golden.js';
import { startFirefox } from './support/browsers.js';
import { builtDemo, ISOLATED, root } from './support/built.js';
import { fillIn, fillQuickly, says, watch } from './support/demo.js';
import { type Served, serve } from './support/serve.js';

const STEPS = 3;

let served: Served;
let browser: Browser;
let page: Page;
let seen: ReturnType<typeof watch>;
const folder = mkdtempSync(join(tmpdir(), 'ti-firefox-'));

beforeAll(async () => {
  served = await serve({ '': await builtDemo() }, ISOLATED);
  browser = await startFirefox(folder);
  page = await browser.newPage();
  seen = watch(page, served.origin);
}, 180_000);
afterAll(async () => {
  await browser.close();
  served.close();
  rmSync(folder, { recursive: true, force: true });
});

test('the page opens, cross-origin isolated, and takes the compiled engine with a thread per core', async () => {
  await page.goto(served.origin);
  const engine = await says(page, 'engine', /Engine: /);
  expect(engine).toMatch(/^Engine: onnx-wasm, .*WebAssembly, \d+ threads?; before it: onnx-webgpu \(.*no WebGPU\)/);
  expect(await page.evaluate(() => globalThis.crossOriginIsolated)).toBe(true);
});

test('the word that it learns from a set of pictures is the one that Node learns', async () => {
  await page.click('#sets .set:has-text("foxi")');
  await fillQuickly(page, STEPS);
  await page.click('#start');
  await says(page, 'learn-status', /is learned/);
  expect(await page.textContent('#step')).toBe(`${STEPS} of ${STEPS}`);
  await page.click('#word-list button:has-text("Download")');
  const inFirefox = await vi.waitFor(() => loadConcept(join(folder, 'foxi.safetensors')), 10_000);

  const model = await loadModel('tiny');
  const inNode = await invert({
    model,
    images: [1, 2, 3, 4].map((n) => join(root, 'examples/concepts/foxi', `${n}.png`)),
    token: inFirefox.token,
    initializer: await page.inputValue('#initializer'),
    steps: STEPS,
    batchSize: 1,
    learningRate: Number(await page.inputValue('#rate')),
    seed: 0,
  });
  model.dispose();
  expectClose(inFirefox.rows[0]?.data ?? [], inNode.rows[0]?.data ?? [], 1e-3, 'rows');
});

test('it draws with the word', async () => {
  expect(await page.inputValue('#prompt')).toContain('<foxi>');
  await fillIn(page, { count: 1, 'draw-steps': 3 });
  await page.click('#draw-start');
  await says(page, 'draw-status', /1 picture drawn/);
  expect(await page.locator('#gallery canvas').count()).toBe(1);
});

test('a picture that is cut off is not learned from', async () => {
  const buffer = readFileSync(join(root, 'examples/concepts/foxi/1.png'));
  const cut = { name: 'cut.png', mimeType: 'image/png', buffer: buffer.subarray(0, buffer.length / 2) };
  await page.setInputFiles('#files', cut);
  await page.click('#start');
  expect(await says(page, 'learn-status', /cut\.png/)).toContain('expected a whole picture');
});

test('nothing went to another origin, and nothing broke', () => {
  expect(seen).toEqual({ strangers: [], problems: [] });
});
