import { afterEach, expect, test, vi } from 'vitest';
import { listRemote } from './remote.js';

afterEach(() => vi.unstubAllGlobals());

/** A host that has these files, and answers for the last one first. */
function serve(files: readonly string[]): void {
  vi.stubGlobal('fetch', async (url: string) => {
    const place = files.findIndex((file) => url.endsWith(`/model/${file}`));
    if (place < 0) return new Response(null, { status: 404 });
    await new Promise((resolve) => setTimeout(resolve, 10 * (files.length - place)));
    return new Response(null, { headers: { 'content-length': '7' } });
  });
}

test('a folder without a list is listed in the same order, whichever answer comes first', async () => {
  const files = ['model_index.json', 'unet/config.json', 'vae/config.json'];
  serve(files);
  const list = await listRemote('http://localhost/model');
  serve(files.toReversed());
  expect(JSON.stringify(await listRemote('http://localhost/model'))).toBe(JSON.stringify(list));
  expect(Object.keys(list)).toEqual(files);
});
