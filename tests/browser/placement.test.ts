import { execFileSync } from 'node:child_process';
import { existsSync, realpathSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { build } from 'vite';
import { beforeAll, expect, test } from 'vitest';
import { findBrowser } from '../../scripts/browser-setup.mjs';
import { root } from './support/built.js';

const ADAPTER = 'vk_swiftshader_icd.json';
const outDir = join(root, 'node_modules/.cache/placement');
beforeAll(async () => {
  const source = (path: string) => join(root, 'packages', path, 'src/index.ts');
  await build({
    configFile: false,
    root,
    logLevel: 'error',
    resolve: { alias: { '@textual-inversion/core': source('core'), '@textual-inversion/onnx': source('onnx') } },
    build: {
      ssr: join(root, 'tests/browser/support/placement.ts'),
      outDir,
      target: 'node20',
      rollupOptions: { output: { entryFileNames: '[name].mjs' } },
    },
  });
});

test('on WebGPU in Node no node of a training step falls back to the CPU', () => {
  // A browser brings a Vulkan loader and a software adapter; Debian's is started by a script elsewhere.
  const browser = findBrowser('chromium');
  const folders = [...(browser ? [dirname(realpathSync(browser))] : []), '/usr/lib/chromium'];
  const chromium = folders.find((folder) => existsSync(join(folder, ADAPTER)));
  if (!chromium) throw new Error(`no ${ADAPTER} beside Chromium: run \`node scripts/browser-setup.mjs\``);
  const said = execFileSync(process.execPath, [join(outDir, 'placement.mjs'), join(root, 'packages/tiny-model')], {
    env: {
      ...process.env,
      LD_LIBRARY_PATH: chromium,
      VK_DRIVER_FILES: join(chromium, ADAPTER),
    },
    encoding: 'utf8',
  });
  const { step, control } = JSON.parse(said.trim().split('\n').at(-1) ?? '');
  expect(step).toBe('placed');
  expect(control).toMatch(/fallback to CPU/i);
});
