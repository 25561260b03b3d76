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

/** Replaces what fields hold, by their ids. Typed, because `Page.fill` adds to a number in Firefox. */
export async function fillIn(page: Page, values: Readonly<Record<string, string | number>>): Promise<void> {
  for (const [id, value] of Object.entries(values)) {
    await page.locator(`#${id}`).press('ControlOrMeta+A');
    await page.keyboard.type(String(value));
  }
}

/** Settings of a training of the demo that takes seconds. */
export async function fillQuickly(page: Page, steps: number): Promise<void> {
  await page.locator('summary').click();
  await fillIn(page, { steps, batch: 1 });
}

/** What a page and its workers should not do: ask another origin, throw, complain in the console. @returns lists that fill as it happens */
export function watch(page: Page, origin: string): { readonly strangers: string[]; readonly problems: string[] } {
  const strangers: string[] = [];
  const problems: string[] = [];
  page.context().on('request', (request) => {
    const url = new URL(request.url());
    if (!['blob:', 'data:'].includes(url.protocol) && url.origin !== origin) strangers.push(request.url());
  });
  page.on('pageerror', (error) => problems.push(error.message));
  page.on('console', (message) => {
    if (message.type() === 'error') problems.push(message.text());
  });
  return { strangers, problems };
}
