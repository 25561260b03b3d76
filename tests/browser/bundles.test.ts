import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { builtinModules } from 'node:module';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { build as esbuild } from 'esbuild';
import { afterAll, beforeAll, expect, test } from 'vitest';
import webpack from 'webpack';
import { startBrowser } from './support/browsers.js';
import { builtDemo, root } from './support/built.js';
import { serve } from './support/serve.js';

/** KiB of JavaScript as it comes over the wire; raise them with a reason. */
const BUDGET = { page: 60, worker: 240 };
/** MiB that a first visit loads: WebAssembly of one engine and the embedded model. */
const FIRST_VISIT_MIB = 32;

const builtins = [
  ...builtinModules.filter((name) => !name.startsWith('_')),
  ...builtinModules.map((name) => `node:${name}`),
];
/** Below the root, so that packages are found. What was built is what is bundled. */
const folder = join(root, 'node_modules/.cache/bundles');
const entry = join(folder, 'entry.js');

beforeAll(() => {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  writeFileSync(
    entry,
    `import { BACKEND_NAMES, generate, invert, loadModel } from 'textual-inversion';
globalThis.names = [BACKEND_NAMES, typeof generate, typeof invert, typeof loadModel];`,
  );
  writeFileSync(join(folder, 'page.html'), '<!doctype html><script type="module" src="./page.js"></script>');
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Opens a bundle in the browser. */
async function opened(dir: string, script: string): Promise<unknown> {
  writeFileSync(
    join(dir, 'page.html'),
    `<!doctype html><link rel="icon" href="data:,"><script type="module" src="./${script}"></script>`,
  );
  const served = await serve({ '': dir });
  const browser = await startBrowser();
  try {
    const page = await browser.newPage();
    await page.goto(`${served.origin}/page.html`);
    await page.waitForFunction(() => 'names' in globalThis);
    return await page.evaluate((): unknown => Reflect.get(globalThis, 'names'));
  } finally {
    await browser.close();
    served.close();
  }
}

const NAMES = [['onnx-webgpu', 'onnx-wasm', 'webgpu', 'wasm'], 'function', 'function', 'function'];

test('esbuild: no Node built-in, and the page runs', async () => {
  const outdir = join(folder, 'esbuild');
  const { metafile } = await esbuild({
    entryPoints: { page: entry, worker: join(root, 'packages/web/dist/worker.js') },
    ...{ bundle: true, splitting: true, format: 'esm', platform: 'browser', minify: true, metafile: true, outdir },
    conditions: ['onnxruntime-web-use-extern-wasm'],
    logLevel: 'error',
  });
  const imports = Object.values(metafile.outputs).flatMap((output) =>
    output.imports.filter(({ external }) => external),
  );
  expect(imports.map(({ path }) => path).filter((path) => builtins.includes(path))).toEqual([]);
  expect(await opened(outdir, 'page.js')).toEqual(NAMES);
});

test('webpack: no Node built-in, the worker is found, and the page runs', async () => {
  const output = join(folder, 'webpack');
  const stats = await new Promise<webpack.Stats>((resolve, reject) => {
    webpack(
      {
        mode: 'development', // minifying is not what is tested, and takes minutes
        devtool: false,
        entry,
        output: { path: output, filename: 'page.js', publicPath: 'auto' },
        resolve: { conditionNames: ['onnxruntime-web-use-extern-wasm', 'browser', 'import', 'module', 'default'] },
        performance: false,
      },
      (error, done) => (error || !done ? reject(error ?? new Error('no answer')) : resolve(done)),
    );
  });
  expect(stats.toJson({ all: false, errors: true }).errors ?? []).toEqual([]);
  expect(readdirSync(output).length, 'chunks: the page, the worker and the engines').toBeGreaterThan(2);
  expect(await opened(output, 'page.js')).toEqual(NAMES);
});

test('Vite: sizes stay within the budget', async () => {
  const dist = await builtDemo();
  const sizes = Object.fromEntries(
    readdirSync(join(dist, 'assets'))
      .filter((name) => name.endsWith('.js'))
      .map((name) => [name, gzipSync(readFileSync(join(dist, 'assets', name))).length / 1024] as const),
  );
  const sizeOf = (start: string) => Object.entries(sizes).find(([name]) => name.startsWith(start))?.[1] ?? Number.NaN;
  const files = (dir: string): string[] =>
    readdirSync(dir, { recursive: true, encoding: 'utf8' }).map((path) => join(dir, path));
  const loaded = files(join(dist, 'textual-inversion')).filter(
    (path) => statSync(path).isFile() && !/asyncify|tfjs/.test(path),
  );
  const mebibytes = loaded.reduce((sum, path) => sum + statSync(path).size, 0) / 2 ** 20;
  console.log(
    `JavaScript, gzipped KiB: page ${sizeOf('index').toFixed(0)}, worker ${sizeOf('worker').toFixed(0)}; first visit ${mebibytes.toFixed(1)} MiB`,
  );
  expect(sizeOf('index')).toBeLessThan(BUDGET.page);
  expect(sizeOf('worker')).toBeLessThan(BUDGET.worker);
  expect(mebibytes).toBeLessThan(FIRST_VISIT_MIB);
});
