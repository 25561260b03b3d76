import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { writeServiceWorker } from '../../examples/demo/service-worker.js';
import { startBrowser } from './support/browsers.js';
import { builtDemo, ISOLATED } from './support/built.js';
import { fillIn, says } from './support/demo.js';
import { type Served, serve } from './support/serve.js';

/** A host as many are: it sends no headers for threads, and lets browsers keep its files for an hour. */
const HEADERS = { 'cache-control': 'max-age=3600' };
const folder = mkdtempSync(join(tmpdir(), 'ti-offline-'));

let served: Served;
let browser: Browser;
let context: BrowserContext;
let page: Page;
beforeAll(async () => {
  cpSync(await builtDemo(), folder, { recursive: true });
  served = await serve({ '': folder }, HEADERS);
  browser = await startBrowser();
}, 180_000);
afterAll(async () => {
  await browser.close();
  served.close();
  rmSync(folder, { recursive: true, force: true });
});
beforeEach(async () => {
  context = await browser.newContext();
  page = await context.newPage();
});
afterEach(() => context.close());

const open = () => page.goto(`${served.origin}/?backend=onnx-wasm`);
const isolated = () => page.waitForFunction(() => globalThis.crossOriginIsolated, undefined, { timeout: 60_000 });

test('a page that nobody has used yet loads again by itself, with all cores', async () => {
  await open();
  await isolated();
  await says(page, 'engine', /Engine: onnx-wasm, .*threads/);
});

test('a page that somebody uses asks first', async () => {
  await page.addInitScript(() => {
    const { ready } = navigator.serviceWorker;
    const used = new Promise((resolve) => {
      document.addEventListener('input', () => setTimeout(resolve), { once: true });
    });
    // As if the files took until then to come.
    Object.defineProperty(navigator.serviceWorker, 'ready', { get: () => used.then(() => ready) });
  });
  await open();
  await says(page, 'engine', /Engine: onnx-wasm.* not cross-origin isolated/);
  await fillIn(page, { token: '<mine>' });
  await page.waitForSelector('#cores:not([hidden])', { timeout: 60_000 });
  expect(await page.inputValue('#token')).toBe('<mine>');
  await page.click('#cores-reload');
  await isolated();
});

test('a file that there is no room for is answered all the same', async () => {
  await open();
  await isolated();
  const devtools = await context.newCDPSession(page);
  await devtools.send('Storage.overrideQuotaForOrigin', { origin: served.origin, quotaSize: 1000 });
  const file = 'textual-inversion/ort-wasm-simd-threaded.asyncify.wasm';
  const length = await page.evaluate(async (url) => (await (await fetch(url)).arrayBuffer()).byteLength, file);
  expect(length).toBe(readFileSync(join(folder, file)).length);
});

test('a build with files of the same lengths takes the place of the one before', async () => {
  await open();
  await isolated();
  for (const [file, before, after] of [
    ['index.html', 'A new word</h1>', 'A new W0RD</h1>'],
    ['concepts/sets.json', '"foxi"', '"f0xi"'],
  ] as const) {
    const text = readFileSync(join(folder, file), 'utf8');
    expect(text).toContain(before);
    writeFileSync(join(folder, file), text.replace(before, after));
  }
  writeServiceWorker(folder, ISOLATED);
  await page.evaluate(async () => {
    const changed = new Promise((resolve) => {
      navigator.serviceWorker.oncontrollerchange = resolve;
    });
    await (await navigator.serviceWorker.ready).update(); // what a browser does some time after a page was opened
    await changed;
  });
  await page.reload();
  expect(await page.textContent('h1')).toBe('A new W0RD');
  await page.waitForSelector('#sets .set');
  expect(await page.locator('input[value=f0xi]').count()).toBe(1);
});
