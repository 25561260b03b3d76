import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import sharp from 'sharp';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { flatten, Generator } from '../../packages/core/src/index.js';
import { DATASET_DEFAULTS, prepareDataset } from '../../packages/core/src/training/dataset.js';
import { codec } from '../../packages/node/src/index.js';
import { startBrowser } from './support/browsers.js';
import { builtPage, ISOLATED, root } from './support/built.js';
import { type Served, serve } from './support/serve.js';

/** Of 255, at every pixel and channel. */
const BOUND = 2;
const GROUND: [number, number, number] = [10, 200, 120];
const [WIDTH, HEIGHT] = [48, 40];
/** The shorter side is brought to these: the pictures shrink, and grow. */
const SIZES = [16, 96];

let served: Served;
let browser: Browser;
let page: Page;
beforeAll(async () => {
  served = await serve({ '': await builtPage() }, ISOLATED);
  browser = await startBrowser();
  page = await browser.newPage();
  await page.goto(`${served.origin}/`);
  await page.waitForFunction(() => 'library' in globalThis);
}, 180_000);
afterAll(async () => {
  await browser.close();
  served.close();
});

/** Slopes that break off at hard edges, in as many channels. */
const slopes = (channels: 1 | 2 | 3 | 4) =>
  sharp(
    Buffer.from(
      Array.from({ length: WIDTH * HEIGHT * channels }, (_, i) => {
        const [y, x, c] = [Math.floor(i / channels / WIDTH), Math.floor(i / channels) % WIDTH, i % channels];
        return (x * (5 + c) + y * 3 + (x % 16 > 8 ? 60 : 0)) % 256;
      }),
    ),
    { raw: { width: WIDTH, height: HEIGHT, channels } },
  );
const jpeg = { quality: 100, chromaSubsampling: '4:4:4' };

test.each([
  ['pixel art', () => readFileSync(join(root, 'examples/concepts/foxi/1.png'))],
  ['PNG', () => slopes(3).png().toBuffer()],
  ['PNG with alpha', () => slopes(4).png().toBuffer()],
  ['grey PNG with alpha', () => slopes(2).png().toBuffer()],
  ['PNG of 16 bits', () => slopes(3).toColourspace('rgb16').png().toBuffer()],
  ['PNG with a palette', () => slopes(3).png({ palette: true }).toBuffer()],
  ['PNG in Display P3', () => slopes(3).withIccProfile('p3').png().toBuffer()],
  ['JPEG', () => slopes(3).jpeg(jpeg).toBuffer()],
  ['JPEG with coarse colour', () => slopes(3).jpeg({ quality: 90 }).toBuffer()],
  ['grey JPEG', () => slopes(1).jpeg(jpeg).toBuffer()],
  ['JPEG in Display P3', () => slopes(3).withIccProfile('p3').jpeg(jpeg).toBuffer()],
  ...[2, 3, 4, 5, 6, 7, 8].map(
    (orientation) =>
      [
        `JPEG turned by EXIF ${orientation}`,
        () => slopes(3).withMetadata({ orientation }).jpeg(jpeg).toBuffer(),
      ] as const,
  ),
  ['WebP', () => slopes(3).webp({ lossless: true }).toBuffer()],
  ['WebP with alpha', () => slopes(4).webp({ lossless: true }).toBuffer()],
  ['GIF', () => slopes(3).gif().toBuffer()],
] as const)('a %s: decoded, shrunk and enlarged as in Node', async (name, make) => {
  const bytes = await make();
  const expected = await codec.decode(new Uint8Array(bytes), name);
  const found = await page.evaluate((given) => library.lookAt(...given), [
    bytes.toString('base64'),
    name,
    SIZES,
    GROUND,
  ] as [string, string, number[], typeof GROUND]);
  expect(found.shape).toEqual([...expected.shape]);
  expect(worst(found.flat, flatten(expected, GROUND).data), 'decoded').toBeLessThanOrEqual(BOUND);
  const options = { ...DATASET_DEFAULTS, background: GROUND };
  for (const [i, size] of SIZES.entries()) {
    const [picture] = prepareDataset([expected], size, options, new Generator(0));
    const difference = worst(found.squares[i] ?? [], picture?.squares[0]?.data ?? []);
    expect(difference * 127.5, `${size} pixels a side`).toBeLessThanOrEqual(BOUND + 1e-3);
  }
});

function worst(found: ArrayLike<number>, expected: ArrayLike<number>): number {
  expect(found.length).toBe(expected.length);
  return Math.max(...Array.from(expected, (value, i) => Math.abs(value - (found[i] ?? Number.NaN))));
}
