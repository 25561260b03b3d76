import type { Page } from 'playwright-core';
import type { Library } from '../page/main.js';
import { startBrowser } from './browsers.js';
import { builtPage, ISOLATED } from './built.js';
import { serve } from './serve.js';

declare global {
  // The test page puts it there.
  var library: Library;
}

export interface OpenLibrary {
  readonly page: Page;
  readonly origin: string;
  close(): Promise<void>;
}

/** Serves the page through which the library is called, with `folders` beside it, and opens it in a browser of its own. */
export async function openLibrary(
  folders: Readonly<Record<string, string>>,
  options: { webgpu?: boolean },
): Promise<OpenLibrary> {
  const served = await serve({ '': await builtPage(), ...folders }, ISOLATED);
  const browser = await startBrowser(options);
  const page = await browser.newPage();
  await page.goto(`${served.origin}/`);
  await page.waitForFunction(() => 'library' in globalThis);
  return {
    page,
    origin: served.origin,
    async close() {
      await browser.close();
      served.close();
    },
  };
}
