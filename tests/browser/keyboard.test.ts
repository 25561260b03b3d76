import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startBrowser } from './support/browsers.js';
import { builtDemo, ISOLATED } from './support/built.js';
import { says } from './support/demo.js';
import { type Served, serve } from './support/serve.js';

let served: Served;
let browser: Browser;
let page: Page;
beforeAll(async () => {
  served = await serve({ '': await builtDemo() }, ISOLATED);
  browser = await startBrowser();
  page = await browser.newPage();
  await page.goto(`${served.origin}/?backend=onnx-wasm`);
  await says(page, 'engine', /Engine: onnx-wasm/);
}, 180_000);
afterAll(async () => {
  await browser.close();
  served.close();
});

/** Role and name of what has the focus, as a screen reader tells them. */
const focused = () => page.locator(':focus').ariaSnapshot();

/** Presses Tab until something has the focus; whoever uses the page has no other way either. */
async function tabTo(what: string | RegExp, key: 'Tab' | 'Shift+Tab' = 'Tab'): Promise<void> {
  const met: string[] = [];
  for (let i = 0; i < 60; i++) {
    await page.keyboard.press(key);
    const name = await focused();
    if (typeof what === 'string' ? name.includes(what) : what.test(name)) return;
    met.push(name);
  }
  throw new Error(`no ${String(what)} on the way through:\n${met.join('\n')}`);
}

async function fill(field: string, text: string): Promise<void> {
  await tabTo(field);
  await page.keyboard.press('Control+A');
  await page.keyboard.type(text);
}

test('everything that can be operated has a name, and news are told', async () => {
  const tree = await page.locator('body').ariaSnapshot();
  const controls =
    tree.match(/- (?:button|link|textbox|spinbutton|combobox|radio|radiogroup|checkbox|img|progressbar|list)\b.*/g) ??
    [];
  expect(controls.length).toBeGreaterThan(20);
  expect(controls.filter((line) => !/^- \w+ "[^"]+"/.test(line))).toEqual([]);
  for (const title of ['Show', 'Name', 'Draw', 'Keep']) expect(tree).toContain(`region "${title}"`);
  expect(tree.match(/heading "[^"]+" \[level=1\]/g)).toEqual(['heading "A new word" [level=1]']);
  expect(tree).toMatch(/- status: "?Engine: onnx-wasm/);
  expect(await page.getAttribute('#notice', 'role')).toBe('alert');
  expect(await page.getAttribute('#learn-status', 'role')).toBe('status');
  expect(await page.getAttribute('#draw-status', 'role')).toBe('status');
});

test('a set is picked with the arrow keys', async () => {
  await page.keyboard.press('Tab');
  expect(await focused()).toContain('link "Skip to the pictures"');
  await page.keyboard.press('Enter');
  await page.keyboard.press('Tab');
  expect(await focused()).toMatch(/radio "\w+, a thing"/);
  await page.keyboard.press('Space');
  await page.keyboard.press('ArrowRight');
  expect(await focused()).toMatch(/radio "\w+, a thing" \[checked\]/);
  expect(await page.locator('#chosen img').count()).toBe(4);
  await tabTo('button "Remove Picture 4 of the set"');
  await page.keyboard.press('Enter');
  expect(await page.locator('#chosen img').count()).toBe(3);
  expect(await focused(), 'the focus stays nearby').toContain('button "Remove Picture 3 of the set"');
});

test('a word is named, learned, stopped and gone on with', async () => {
  await fill('textbox "The new word"', '<kbd>');
  await tabTo('Settings');
  await page.keyboard.press('Enter');
  await fill('spinbutton "Steps"', '500');
  await fill('spinbutton "Pictures per step"', '1');
  await tabTo('button "Learn the word"');
  await page.keyboard.press('Enter');
  expect(await focused()).toContain('button "Stop"');
  await says(page, 'step', /^[2-9] of/);
  await page.keyboard.press('Enter');
  expect(await says(page, 'learn-status', /Stopped/)).toMatch(/Stopped after step \d+/);
  await page.waitForSelector('#kept:not([hidden])');
  expect(await focused()).toContain('button "Learn the word"');
  await tabTo('button "Go on"');
  const before = Number.parseInt((await page.textContent('#step')) ?? '', 10);
  await page.keyboard.press('Enter');
  expect(await focused()).toContain('button "Stop"');
  await page.waitForFunction(
    (steps) => Number.parseInt(document.getElementById('step')?.textContent ?? '', 10) > steps,
    before,
    { timeout: 120_000 },
  );
  expect(await page.textContent('#learn-status')).toBe('Learning…');
  await page.keyboard.press('Space');
  await says(page, 'learn-status', /Stopped/);
});

test('a word is learned to its end; it is drawn with, and saved', async () => {
  await tabTo('spinbutton "Pictures per step"', 'Shift+Tab');
  await tabTo('spinbutton "Steps"', 'Shift+Tab');
  await page.keyboard.press('Control+A');
  await page.keyboard.type('2');
  await page.keyboard.press('Enter'); // sends the form, as everywhere
  await says(page, 'learn-status', /<kbd> is learned/);
  expect(await focused(), 'what is being done is not interrupted').toContain('spinbutton "Steps"');
  await fill('textbox "Prompt"', 'a photo of <kbd>');
  await fill('spinbutton "Pictures"', '1');
  await fill('spinbutton "Steps"', '2');
  await tabTo('button "Draw"');
  await page.keyboard.press('Enter');
  expect(await says(page, 'draw-status', /drawn/)).toBe('1 picture drawn.');
  expect(await focused()).toContain('button "Draw"');
  await tabTo('link "Save PNG: a photo of <kbd>');
  const [png] = await Promise.all([page.waitForEvent('download'), page.keyboard.press('Enter')]);
  expect(png.suggestedFilename()).toMatch(/\.png$/);
  await tabTo('combobox "Format for <kbd>"');
  await tabTo('button "Download <kbd>"');
  const [word] = await Promise.all([page.waitForEvent('download'), page.keyboard.press('Enter')]);
  expect(word.suggestedFilename()).toBe('kbd.safetensors');
});
