import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { GOLDEN, golden } from '../support/golden.js';
import { startBrowser } from './support/browsers.js';
import { builtPage, ISOLATED, root } from './support/built.js';
import { filesOf } from './support/files.js';
import { inWorker, type Served, serve } from './support/serve.js';

let dist: string;
let served: Served;
let browser: Browser;
let page: Page;
const model = () => `${served.origin}/golden/tiny-sd1`;

beforeAll(async () => {
  dist = await builtPage();
  served = await serve({ '': dist, golden: GOLDEN, examples: join(root, 'examples') }, ISOLATED);
  browser = await startBrowser();
}, 180_000);
afterAll(async () => {
  await browser.close();
  served.close();
});
beforeEach(async () => {
  await page?.context().close();
  served.tricks.clear();
  page = await (await browser.newContext()).newPage();
  await open(served.origin);
});

async function open(origin: string): Promise<void> {
  await page.goto(`${origin}/`);
  await page.waitForFunction(() => 'library' in globalThis);
}

const failureOfDownload = (url: string) =>
  page.evaluate((address) => library.failureOf(() => library.downloadModel(address)), url);

describe('a model at an address', () => {
  test('that is not there', async () => {
    expect(await failureOfDownload(`${served.origin}/golden/nowhere`)).toMatchObject({
      code: 'DOWNLOAD_FAILED',
      message: expect.stringContaining('404') as string,
    });
  });

  test('that answers with a page', async () => {
    served.tricks.set('/golden/tiny-sd1', () => ({ body: '<!doctype html><p>Sign in' }));
    expect(await failureOfDownload(model())).toMatchObject({
      code: 'DOWNLOAD_FAILED',
      message: expect.stringContaining('HTML') as string,
    });
  });

  test('that breaks off goes on where it was', async () => {
    const path = '/golden/tiny-sd1/unet/diffusion_pytorch_model.safetensors';
    served.tricks.set(path, ({ method }) => (method === 'GET' ? { cutAfter: 100_000 } : undefined));
    expect(await failureOfDownload(model())).toMatchObject({
      code: 'DOWNLOAD_FAILED',
      message: expect.stringContaining('goes on from there') as string,
    });
    const [half] = await page.evaluate(() => library.listModels());
    expect(half).toMatchObject({ complete: false });

    served.tricks.clear();
    served.requests.length = 0;
    const names = await page.evaluate(async (url) => (await library.downloadModel(url)).list(), model());
    expect(names).toContain('unet/config.json');
    expect(
      served.requests.filter((request) => request.path === path && request.method === 'GET').map(({ range }) => range),
    ).toEqual([expect.stringMatching(/^bytes=[1-9]\d*-/)]);
    expect(await page.evaluate(() => library.listModels())).toMatchObject([{ url: model(), complete: true }]);
    await page.evaluate((url) => library.deleteModel(url), model());
    expect(await page.evaluate(() => library.listModels())).toEqual([]);
  });

  test('that breaks off on a server without ranges is fetched again, and is right', async () => {
    const path = '/golden/tiny-sd1/unet/diffusion_pytorch_model.safetensors';
    served.tricks.set(path, ({ method }) => (method === 'GET' ? { cutAfter: 100_000 } : undefined));
    expect((await failureOfDownload(model())).code).toBe('DOWNLOAD_FAILED');
    served.tricks.set(path, () => ({ ranges: false }));
    const last = await page.evaluate(async (url) => {
      let last = { bytes: 0, totalBytes: 0 };
      await library.downloadModel(url, { onProgress: (progress) => (last = progress) });
      return last;
    }, model());
    expect(last.bytes).toBe(last.totalBytes);
    const stored = await page.evaluate(async (url) => {
      const source = await (await library.openStoredModel(url)).open('unet/diffusion_pytorch_model.safetensors');
      const sum = await crypto.subtle.digest('SHA-256', new Uint8Array((await source?.read(0, source.size)) ?? []));
      return [...new Uint8Array(sum)];
    }, model());
    const file = readFileSync(golden('tiny-sd1', 'unet/diffusion_pytorch_model.safetensors'));
    expect(stored).toEqual([...createHash('sha256').update(file).digest()]);
  });

  test('that another worker writes', async () => {
    await page.evaluate(async (url) => {
      const key = (name: string) => encodeURIComponent(name).replaceAll('.', '%2E');
      const script = `(async () => {
        let folder = await navigator.storage.getDirectory();
        for (const part of ['textual-inversion', 'models', '${key(url)}'])
          folder = await folder.getDirectoryHandle(part, { create: true });
        const file = await folder.getFileHandle('${key('model_index.json')}', { create: true });
        globalThis.handle = await file.createSyncAccessHandle();
        postMessage('open');
      })()`;
      const worker = new Worker(URL.createObjectURL(new Blob([script], { type: 'text/javascript' })));
      await new Promise((resolve) => {
        worker.onmessage = resolve;
      });
    }, model());
    expect(await failureOfDownload(model())).toMatchObject({
      code: 'STORAGE_BUSY',
      message: expect.stringContaining('model_index.json: expected a file that nobody else writes') as string,
    });
  });

  test('whose last bytes do not come onto the disk is not taken for whole', async () => {
    const files = { 'unet/config.json': filesOf(golden('tiny-sd1'))['unet/config.json'] ?? { size: 0 } };
    const failure = await page.evaluate(
      ([url, given]) => {
        const { close } = FileSystemWritableFileStream.prototype;
        let closed = 0;
        FileSystemWritableFileStream.prototype.close = async function () {
          closed += 1;
          // The manifest and the file that tries whether there is room come first.
          if (closed !== 3) return close.call(this);
          await this.abort();
          throw new DOMException('no space', 'QuotaExceededError');
        };
        return library.failureOf(() => library.downloadModel(url, { files: given }));
      },
      [model(), files] as const,
    );
    expect(failure.code).toBe('STORAGE_FULL');
    expect(await page.evaluate(() => library.listModels())).toMatchObject([{ bytes: 0, complete: false }]);
  });

  test('that does not fit is refused before anything is fetched', async () => {
    const devtools = await page.context().newCDPSession(page);
    await devtools.send('Storage.overrideQuotaForOrigin', { origin: served.origin, quotaSize: 1_000_000 });
    served.requests.length = 0;
    expect(await failureOfDownload(model())).toMatchObject({
      code: 'STORAGE_FULL',
      message: expect.stringContaining('Nothing was downloaded') as string,
    });
    expect(served.requests.filter(({ method, path }) => method === 'GET' && path.endsWith('.safetensors'))).toEqual([]);
  });

  test('whose bytes are not those of its list', async () => {
    const files = { ...filesOf(golden('tiny-sd1')) };
    const first = 'model_index.json';
    const list = { [first]: { size: files[first]?.size ?? 0, sha256: '0'.repeat(64) } };
    const failure = await page.evaluate(
      ([url, given]) => library.failureOf(() => library.downloadModel(url, { files: given })),
      [model(), list] as const,
    );
    expect(failure).toMatchObject({ code: 'DOWNLOAD_FAILED', message: expect.stringContaining('SHA-256') as string });
  });

  test('that is no model', async () => {
    const failure = await page.evaluate(
      (url) =>
        library.failureOf(() =>
          library.loadModel({ url, files: { 'concept.json': { size: 339 } } }, { backend: 'onnx-wasm' }),
        ),
      `${served.origin}/examples/concepts/foxi`,
    );
    expect(failure.code).toBe('MODEL_MISSING_FILE');
    const dropped = await page.evaluate(() =>
      library.failureOf(() => library.loadModel([new File(['hello'], 'readme.txt')], { backend: 'onnx-wasm' })),
    );
    expect(dropped).toMatchObject({
      code: 'MODEL_MISSING_FILE',
      message: expect.stringContaining('chosen files') as string,
    });
  });
});

test('a browser without WebGPU says so', async () => {
  const failure = await page.evaluate(() =>
    library.failureOf(() => library.loadModel('tiny', { backend: 'onnx-webgpu' })),
  );
  expect(failure).toMatchObject({
    code: 'BACKEND_UNAVAILABLE',
    message: expect.stringContaining('graphics adapter') as string,
  });
  expect(
    (await page.evaluate(() => library.failureOf(() => library.loadModel('tiny', { backend: 'wsam' })))).code,
  ).toBe('BACKEND_UNKNOWN');
});

describe('a browser that writes its storage in place alone, as Safari before 26', () => {
  beforeEach(async () => {
    inWorker(served, dist, 'delete FileSystemFileHandle.prototype.createWritable;');
    await open(served.origin);
  });

  test('keeps models and trainings in the worker', async () => {
    const kept = await page.evaluate(async (url) => {
      await (await library.loadModel(url, { backend: 'onnx-wasm' })).dispose();
      const model = await library.loadModel('tiny', { backend: 'onnx-wasm' });
      const settings = { images: [new ImageData(32, 32)], token: '<a>', initializer: 'monster' } as const;
      await library.invert({ ...settings, model, run: 'kept', steps: 4, batchSize: 1, checkpointEverySteps: 2 });
      await library.resume({ model, run: 'kept' });
      await model.dispose();
      return [await library.listModels(), await library.listRuns()];
    }, model());
    expect(kept).toMatchObject([[{ url: model(), complete: true }], [{ name: 'kept', step: 4, finished: true }]]);
  });

  test('says when there is no room, and leaves nothing half written', async () => {
    const devtools = await page.context().newCDPSession(page);
    await devtools.send('Storage.overrideQuotaForOrigin', { origin: served.origin, quotaSize: 1_000_000 });
    const failure = await page.evaluate(async (url) => {
      const large = await library.failureOf(() => library.loadModel(url, { backend: 'onnx-wasm' }));
      const model = await library.loadModel('tiny', { backend: 'onnx-wasm' });
      const settings = { images: [new ImageData(2048, 2048)], token: '<a>', initializer: 'monster' } as const;
      const { code } = await library.failureOf(() =>
        library.invert({ ...settings, model, run: 'kept', steps: 2, batchSize: 1 }),
      );
      const files: string[] = [];
      let folder = await navigator.storage.getDirectory();
      for (const part of ['textual-inversion', 'runs', 'kept']) folder = await folder.getDirectoryHandle(part);
      for await (const name of folder.keys()) files.push(name);
      return { large: large.message, code, files };
    }, model());
    expect(failure).toEqual({
      large: expect.stringContaining('Nothing was downloaded') as string,
      code: 'STORAGE_FULL',
      files: [],
    });
  });

  test('says that a page cannot write', async () => {
    const failure = await page.evaluate((url) => {
      Reflect.deleteProperty(FileSystemFileHandle.prototype, 'createWritable');
      return library.failureOf(() => library.downloadModel(url));
    }, model());
    expect(failure).toMatchObject({
      code: 'BACKEND_UNAVAILABLE',
      message: expect.stringContaining('workers alone') as string,
    });
  });
});

test('a page over plain http learns, and says that nothing can be kept', async () => {
  await page.context().close();
  // Its own name is not localhost, and so it is no secure context.
  page = await (await browser.newContext({ proxy: { server: served.origin } })).newPage();
  await open('http://plain.test');
  const codes = await page.evaluate(async () => {
    const model = await library.loadModel('tiny', { backend: 'onnx-wasm' });
    const settings = { images: [new ImageData(32, 32)], token: '<a>', initializer: 'monster', model } as const;
    const { token } = await library.invert({ ...settings, steps: 2, batchSize: 1 });
    const failures = [
      await library.failureOf(() => library.invert({ ...settings, run: 'kept', steps: 2 })),
      await library.failureOf(() => library.loadModel('golden/tiny-sd1')),
      await library.failureOf(() => library.listModels()),
    ];
    await model.dispose();
    return [isSecureContext, token, ...failures.map(({ code }) => code)];
  });
  expect(codes).toEqual([false, '<a>', ...Array<string>(3).fill('BACKEND_UNAVAILABLE')]);
});

test('two tabs do not train at once, and a run that is stopped says ABORTED', async () => {
  const failures = await page.evaluate(async () => {
    const first = await library.loadModel('tiny', { backend: 'onnx-wasm' });
    const second = await library.loadModel('tiny', { backend: 'onnx-wasm' });
    const image = new ImageData(32, 32);
    const controller = new AbortController();
    let started = () => {};
    const running = new Promise<void>((resolve) => {
      started = resolve;
    });
    const settings = { images: [image], token: '<a>', initializer: 'monster', steps: 500, batchSize: 1 } as const;
    const stopped = library.failureOf(() =>
      library.invert({ ...settings, model: first, signal: controller.signal, onStep: () => started() }),
    );
    await running;
    const busy = await library.failureOf(() => library.invert({ ...settings, model: second }));
    controller.abort();
    const codes = [busy.code, (await stopped).code];
    await first.dispose();
    await second.dispose();
    return codes;
  });
  expect(failures).toEqual(['STORAGE_BUSY', 'ABORTED']);
});

test.each(['a worker', 'the page itself'])('a model that is disposed of while it works, in %s', async (where) => {
  const found = await page.evaluate(async (onPage) => {
    const model = await library.loadModel('tiny', { backend: 'onnx-wasm', ...(onPage ? { worker: false } : {}) });
    const settings = { images: [new ImageData(32, 32)], token: '<a>', initializer: 'monster', steps: 500 } as const;
    let training: ReturnType<typeof library.failureOf> | undefined;
    const running = new Promise<void>((resolve) => {
      const onStep = () => resolve();
      training = library.failureOf(() => library.invert({ ...settings, model, run: 'kept', onStep }));
    });
    const drawing = library.failureOf(() => library.generate({ model, prompt: 'a monster', steps: 500 }));
    await running;
    await Promise.all([model.dispose(), model.dispose()]);
    const later = library.failureOf(() => library.generate({ model, prompt: 'a monster' }));
    const ends = await Promise.all([training, drawing, later]);
    const [kept] = await library.listRuns();
    return { codes: ends.map((end) => end?.code), saved: (kept?.step ?? 0) > 0 };
  }, where === 'the page itself');
  expect(found).toEqual({ codes: ['OPTION_INVALID', 'OPTION_INVALID', 'OPTION_INVALID'], saved: true });
});

test.each(['onnx-wasm', 'wasm'])(
  'assets of %s in a folder that is named without a slash at its end',
  async (backend) => {
    const engine = await page.evaluate(async (backend) => {
      const model = await library.loadModel('tiny', { backend, assetsUrl: 'textual-inversion' });
      await model.dispose();
      return model.backend.name;
    }, backend);
    expect(engine).toBe(backend);
  },
);

test('a concept of another model, with its code, and on the page without a worker', async () => {
  const failure = await page.evaluate(async () => {
    const model = await library.loadModel('tiny', { backend: 'onnx-wasm', worker: false });
    const concept = { token: '<b>', rows: [{ data: new Float32Array(768), shape: [1, 768] }], info: {} };
    const found = await library.failureOf(() =>
      library.generate({ model, prompt: 'a photo of <b>', concepts: [concept], steps: 2 }),
    );
    await model.dispose();
    return found;
  });
  expect(failure.code).toBe('CONCEPT_WIDTH');
});

test('what is no picture', async () => {
  const failure = (text: string) =>
    page.evaluate(
      (given) => library.failureOf(() => library.codec.decode(new TextEncoder().encode(given), 'x.png')),
      text,
    );
  expect((await failure('hello')).code).toBe('IMAGE_FORMAT');
  expect((await failure('')).code).toBe('IMAGE_FORMAT');
  const cut = readFileSync(join(root, 'examples/concepts/foxi/1.png')).subarray(0, 60).toString('base64');
  const corrupt = await page.evaluate(
    (base64) =>
      library.failureOf(() =>
        library.codec.decode(
          Uint8Array.from(atob(base64), (c) => c.charCodeAt(0)),
          'x.png',
        ),
      ),
    cut,
  );
  expect(corrupt.code).toBe('IMAGE_CORRUPT');
});
