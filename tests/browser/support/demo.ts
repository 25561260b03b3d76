import type { Page } from 'playwright-core';

/** Waits until an element says something. @returns all that it says */
export async function says(page: Page, id: string, pattern: RegExp): Promise<string> {
  await page.waitForFunction(
    ([which, source]) => new RegExp(source).test(document.getElementById(which)?.textContent ?? ''),
    [id, pattern.source] as const,
    { timeout: 250_000 },
  );
  return (await page.textContent(`#${id}`)) ?? '';
}

/** Settings of a training of the demo that takes seconds. */
export async function fillQuickly(page: Page, steps: number): Promise<void> {
  await page.locator('summary').click();
  await page.fill('#steps', String(steps));
  await page.fill('#batch', '1');
}
