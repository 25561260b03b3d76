import { cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { copyAssets } from '@textual-inversion/web/assets';
import { defineConfig, type Plugin } from 'vite';
import { writeServiceWorker } from './service-worker.js';

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));

/** Nothing but this origin. A worker follows the policy of its own answer, so the header goes with every file. */
const POLICY = [
  "default-src 'none'",
  "script-src 'self' 'wasm-unsafe-eval'",
  "style-src 'self'",
  "img-src 'self' blob: data:",
  "connect-src 'self'",
  "worker-src 'self'",
  "manifest-src 'self'",
  "base-uri 'self'",
  "form-action 'none'",
].join('; ');

/** With these a page may use threads. */
const HEADERS = {
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Embedder-Policy': 'require-corp',
  'Content-Security-Policy': POLICY,
};

/** Puts the engines, the embedded model and the sets of pictures beside the page, and tells its service worker what there is. */
function assets(): Plugin {
  return {
    name: 'demo-assets',
    apply: 'build',
    writeBundle({ dir = '' }) {
      copyAssets(join(dir, 'textual-inversion'));
      copySets(join(dir, 'concepts'));
      writeServiceWorker(dir, HEADERS);
    },
  };
}

function copySets(folder: string): void {
  const source = here('../concepts');
  const sets = readdirSync(source, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => {
      const { kind, initializer, token }: Record<string, string> = JSON.parse(
        readFileSync(join(source, name, 'concept.json'), 'utf8'),
      );
      const pictures = readdirSync(join(source, name)).filter((file) => file.endsWith('.png'));
      mkdirSync(join(folder, name), { recursive: true });
      for (const picture of pictures) cpSync(join(source, name, picture), join(folder, name, picture));
      return {
        name,
        kind,
        initializer,
        token,
        pictures: pictures.map((picture) => ({
          image: `concepts/${name}/${picture}`,
          caption: readFileSync(join(source, name, picture.replace(/png$/, 'txt')), 'utf8').trim(),
        })),
      };
    });
  writeFileSync(join(folder, 'sets.json'), JSON.stringify(sets));
}

export default defineConfig({
  root: here('.'),
  base: './',
  resolve: {
    alias: [
      { find: '@textual-inversion/core', replacement: here('../../packages/core/src/index.ts') },
      { find: '@textual-inversion/onnx', replacement: here('../../packages/onnx/src/index.ts') },
      { find: '@textual-inversion/web/worker', replacement: here('../../packages/web/src/worker.ts') },
      { find: /^@textual-inversion\/web$/, replacement: here('../../packages/web/src/index.ts') },
    ],
    // Without its own copies of WebAssembly: they come from `textual-inversion/`.
    conditions: ['onnxruntime-web-use-extern-wasm', 'module', 'browser', 'import', 'default'],
  },
  build: {
    outDir: 'dist',
    emptyOutDir: true,
    target: 'es2022',
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
  },
  worker: { format: 'es' },
  preview: { headers: HEADERS },
  plugins: [assets()],
});
