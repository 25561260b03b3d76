import { join } from 'node:path';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { golden } from '../support/golden.js';
import { startBrowser } from './support/browsers.js';
import { builtDemo, ISOLATED, root } from './support/built.js';
import { fillQuickly, says } from './support/demo.js';
import { inWorker, type Served, serve, type Trick } from './support/serve.js';

let dist: string;
let served: Served;
let browser: Browser;
let context: BrowserContext;
let page: Page;
beforeAll(async () => {
  dist = await builtDemo();
  served = await serve({ '': dist }, ISOLATED);
  browser = await startBrowser();
}, 180_000);
afterAll(async () => {
  await browser.close();
  served.close();
});
beforeEach(async () => {
  // A service worker would answer in the place of our server.
  context = await browser.newContext({ serviceWorkers: 'block' });
  page = await context.newPage();
});
afterEach(async () => {
  await context.close();
  served.tricks.clear();
});

const open = (backend: string, where = page) => where.goto(`${served.origin}/?backend=${backend}`);
const started = (where = page) => says(where, 'engine', /Engine: /);

describe('without the GPU', () => {
  test('it says so where the GPU was asked for', async () => {
    await open('onnx-webgpu');
    expect(await says(page, 'notice', /backend/)).toMatch(/onnx-webgpu: expected .* found no graphics adapter/);
    expect(await page.textContent('#engine')).toBe('The engine did not start.');
  });

  test('another engine is taken otherwise, and it says why', async () => {
    inWorker(
      served,
      dist,
      `navigator.gpu.requestAdapter = async () => ({ limits: { maxStorageBufferBindingSize: 2 ** 20 } });`,
    );
    await open('auto');
    expect(await started()).toMatch(/Engine: onnx-wasm.*onnx-webgpu \(an adapter that binds at most 1 MiB\)/);
  });
});

describe('the model', () => {
  const weights = '/textual-inversion/tiny/unet/diffusion_pytorch_model.safetensors';
  const cases: [string, string, Trick, RegExp][] = [
    ['is not there', weights, { status: 404, body: 'not here' }, /status 404|HTML|missing/],
    ['is a page', weights, { body: '<!doctype html><p>Sign in' }, /an HTML page/],
    ['is cut', weights, { cutAfter: 1000 }, /broke|half a file/],
    [
      'is hostile',
      '/textual-inversion/tiny/unet/config.json',
      { type: 'application/json', body: '{"act_fn":"<img src=x onerror=globalThis.broken=1>"}'.padEnd(5000) },
      /<img src=x/,
    ],
  ];
  test.each(cases)('%s', async (_, path, trick, words) => {
    served.tricks.set(path, ({ method }) => (method === 'GET' ? trick : undefined));
    await open('onnx-wasm');
    expect(await says(page, 'notice', words)).toMatch(words);
    expect(await page.textContent('#engine')).toBe('The engine did not start.');
    expect(await page.locator('#notice *').count(), 'words, and no markup').toBe(0);
    expect(await page.evaluate(() => 'broken' in globalThis)).toBe(false);
  });
});

test('two tabs do not train at once, and the second says why', async () => {
  await open('onnx-wasm');
  await started();
  const other = await context.newPage();
  await open('onnx-wasm', other);
  await started(other);
  for (const tab of [page, other]) {
    await tab.bringToFront();
    await tab.locator('#sets .set').first().click();
    await fillQuickly(tab, 500);
    await tab.click('#start');
    if (tab === page) await says(page, 'step', /^[1-9]\d* of/);
  }
  expect(await says(other, 'learn-status', /tab/)).toMatch(/another tab/);
});

test('a storage that is too small is told before the first step', async () => {
  await open('onnx-wasm');
  await started();
  const devtools = await context.newCDPSession(page);
  await devtools.send('Storage.overrideQuotaForOrigin', { origin: served.origin, quotaSize: 1000 });
  await page.locator('#sets .set').first().click();
  await page.click('#start');
  expect(await says(page, 'learn-status', /room/)).toMatch(/storage of this site/);
  expect(await page.textContent('#step')).toMatch(/^0 of/);
});

test('words of other models and hostile files', async () => {
  await open('onnx-wasm');
  await started();
  await page.setInputFiles('#word-file', golden('concepts', 'diffusers.safetensors'));
  const chip = page.locator('#chips button').first();
  await chip.click();
  await page.click('#draw-start');
  expect(await says(page, 'notice', /expected/)).toMatch(/expected .*128.* found .*\d/);

  const pickle = `cposix\nsystem\n(S'touch broken'\ntR.`;
  await page.setInputFiles('#word-file', { name: 'evil.pt', mimeType: 'x/y', buffer: Buffer.from(pickle) });
  expect(await says(page, 'notice', /evil\.pt/)).toMatch(/expected/);
});

test('pictures that are none', async () => {
  await open('onnx-wasm');
  await started();
  await page.click('#start');
  expect(await says(page, 'learn-status', /found/)).toMatch(/expected three to five pictures, found none/);
  const buffer = Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" onload="globalThis.broken = 1"></svg>');
  await page.setInputFiles('#files', { name: 'evil.png', mimeType: 'image/png', buffer });
  await page.click('#start');
  expect(await says(page, 'learn-status', /evil\.png/)).toMatch(/expected a picture/);
  expect(await page.isVisible('#training'), 'an empty curve').toBe(false);
  expect(await page.evaluate(() => 'broken' in globalThis)).toBe(false);
});

test('a graphics device that is lost: training goes on, and the page says how', async () => {
  // Every device goes at its first answer, and the second loss at the same step means another engine.
  const script = `
    const { requestDevice } = GPUAdapter.prototype;
    GPUAdapter.prototype.requestDevice = async function (...given) {
      const device = await requestDevice.apply(this, given);
      const { mapAsync } = GPUBuffer.prototype;
      GPUBuffer.prototype.mapAsync = function (...range) { device.destroy(); return mapAsync.apply(this, range); };
      return device;
    };`;
  inWorker(served, dist, script);
  const withGpu = await startBrowser({ webgpu: true });
  try {
    const tab = await withGpu.newPage({ serviceWorkers: 'block' });
    await open('webgpu', tab);
    await started(tab);
    await tab.locator('#sets .set').first().click();
    await fillQuickly(tab, 3);
    await tab.click('#start');
    expect(await says(tab, 'notice', /goes on .* with webgpu/)).toMatch(/device was lost.*from step 0/);
    await says(tab, 'notice', /goes on .* with onnx-wasm/);
    await says(tab, 'learn-status', /is learned/);
    expect(await tab.textContent('#step')).toBe('3 of 3');
    expect(await tab.textContent('#engine')).toContain('onnx-wasm');
  } finally {
    await withGpu.close();
  }
});

test('a number that is missing is asked for, and one that came through leaves the page as it was', async () => {
  await open('onnx-wasm');
  await started();
  await page.locator('#sets .set').first().click();
  await fillQuickly(page, 2);
  await page.fill('#steps', '');
  await page.locator('summary').click();
  await page.click('#start');
  expect(await page.getAttribute('#settings', 'open'), 'the field in sight').toBe('');
  expect(await page.locator(':focus').getAttribute('id')).toBe('steps');
  expect(await page.isVisible('#stop')).toBe(false);

  await page.evaluate(() => document.getElementById('steps')?.removeAttribute('required'));
  await page.click('#start');
  await page.waitForSelector('#learn-status.bad');
  expect(await page.isVisible('#stop')).toBe(false);
  await page.fill('#steps', '2');
  await page.click('#start');
  await says(page, 'learn-status', /is learned/);
});

test('a word that the browser has no room for is learned and listed, and the page says that it is not kept', async () => {
  await open('onnx-wasm');
  await started();
  await page.evaluate(() => {
    for (let length = 2 ** 24; length >= 1; length /= 2)
      try {
        localStorage.setItem(`full ${length}`, 'x'.repeat(length));
      } catch {
        // Smaller, then.
      }
  });
  await page.locator('#sets .set').first().click();
  await fillQuickly(page, 2);
  await page.click('#start');
  await says(page, 'learn-status', /is learned/);
  expect(await page.textContent('#notice')).toMatch(/no room for the words/);
  expect(await page.locator('#word-list li').count()).toBe(1);
});

test('text may be dropped into a field; pictures are taken anywhere', async () => {
  await open('onnx-wasm');
  await started();
  const prevented = (what: 'text' | 'file') =>
    page.evaluate((what) => {
      const dataTransfer = new DataTransfer();
      if (what === 'text') dataTransfer.setData('text/plain', '<foxi>');
      else dataTransfer.items.add(new File(['no picture'], 'a.png', { type: 'image/png' }));
      return ['dragenter', 'dragover', 'drop'].map((type) => {
        const event = new DragEvent(type, { dataTransfer, bubbles: true, cancelable: true });
        document.getElementById('prompt')?.dispatchEvent(event);
        return event.defaultPrevented;
      });
    }, what);
  expect(await prevented('text')).toEqual([false, false, false]);
  expect(await prevented('file')).toEqual([true, true, true]);
  expect(await page.locator('#chosen img').count()).toBe(1);
});

test('the address of a picture that is no longer shown is given back', async () => {
  await open('onnx-wasm');
  await started();
  await page.setInputFiles('#files', join(root, 'examples/concepts/foxi/1.png'));
  const address = (await page.getAttribute('#chosen img', 'src')) ?? '';
  const loads = () =>
    page.evaluate(
      (src) =>
        new Promise((resolve) => {
          const image = new Image();
          image.onload = () => resolve(true);
          image.onerror = () => resolve(false);
          image.src = src;
        }),
      address,
    );
  expect(await loads()).toBe(true);
  await page.click('#chosen button');
  expect(await loads()).toBe(false);
});
