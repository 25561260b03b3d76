import { existsSync, mkdirSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'vite';
import { copyAssets } from '../../../packages/web/bin/assets.mjs';

export const root = fileURLToPath(new URL('../../..', import.meta.url));
const SOURCES = [
  'packages/core/src',
  'packages/onnx/src',
  'packages/web/src',
  'packages/web/bin',
  'packages/tiny-model',
];

/** Headers of a page that may use threads. */
export const ISOLATED = {
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Embedder-Policy': 'require-corp',
  'Cross-Origin-Resource-Policy': 'same-origin',
};

/** Builds the demo unless it is newer than its sources. @returns its folder */
export async function builtDemo(): Promise<string> {
  const folder = join(root, 'examples/demo');
  const stamp = join(folder, 'dist/service-worker.js');
  const own = ['src', 'index.html', 'service-worker.ts', 'vite.config.ts'].map((path) => `examples/demo/${path}`);
  if (stale(stamp, [...SOURCES, ...own]))
    await build({ configFile: join(folder, 'vite.config.ts'), logLevel: 'error' });
  return join(folder, 'dist');
}

/** Builds the page through which tests call the library. @returns its folder */
export async function builtPage(): Promise<string> {
  const folder = join(root, 'tests/browser/page');
  const outDir = join(root, 'node_modules/.cache/browser-page');
  const source = (path: string) => join(root, 'packages', path, 'src/index.ts');
  if (stale(join(outDir, 'index.html'), [...SOURCES, 'tests/browser/page'])) {
    mkdirSync(outDir, { recursive: true });
    copyAssets(join(outDir, 'textual-inversion'));
    await build({
      configFile: false,
      root: folder,
      base: './',
      logLevel: 'error',
      resolve: {
        alias: [
          { find: '@textual-inversion/core', replacement: source('core') },
          { find: '@textual-inversion/onnx', replacement: source('onnx') },
          { find: /^@textual-inversion\/web$/, replacement: source('web') },
        ],
        conditions: ['onnxruntime-web-use-extern-wasm', 'module', 'browser', 'import', 'default'],
      },
      build: { outDir, emptyOutDir: false, target: 'es2022', assetsInlineLimit: 0 },
      worker: { format: 'es' },
    });
  }
  return outDir;
}

function stale(built: string, sources: readonly string[]): boolean {
  if (!existsSync(built)) return true;
  const made = statSync(built).mtimeMs;
  return sources.some((path) => newest(join(root, path)) > made);
}

function newest(path: string): number {
  const stat = statSync(path);
  if (!stat.isDirectory()) return stat.mtimeMs;
  return Math.max(0, ...readdirSync(path).map((entry) => newest(join(path, entry))));
}
