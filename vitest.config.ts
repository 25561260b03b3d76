import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

const source = (path: string) => fileURLToPath(new URL(`./packages/${path}`, import.meta.url));

/** Tests run on the sources; only the packaging tests use what was built. */
export default defineConfig({
  resolve: {
    alias: {
      '@textual-inversion/core': source('core/src/index.ts'),
      '@textual-inversion/onnx': source('onnx/src/index.ts'),
      '@textual-inversion/node': source('node/src/index.ts'),
      '@textual-inversion/web': source('web/src/index.ts'),
      'textual-inversion': source('textual-inversion/src/node.ts'),
    },
  },
  test: {
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // Two cores, and every file loads models: more workers would only fight for them.
    maxWorkers: 2,
    pool: 'forks',
    projects: [
      {
        extends: true,
        test: { name: 'unit', include: ['packages/*/src/**/*.test.ts', 'packages/*/test/**/*.test.ts'] },
      },
      { extends: true, test: { name: 'parity', include: ['tests/parity/**/*.test.ts'] } },
      // What Python's own libraries say of our files: needs a Python with torch, named by TI_PYTHON.
      { extends: true, test: { name: 'python', include: ['tests/python/**/*.test.ts'], testTimeout: 300_000 } },
      { extends: true, test: { name: 'system', include: ['tests/system/**/*.test.ts'], testTimeout: 300_000 } },
      { extends: true, test: { name: 'packaging', include: ['tests/packaging/**/*.test.ts'], testTimeout: 300_000 } },
      {
        extends: true,
        test: { name: 'browser', include: ['tests/browser/**/*.test.ts'], testTimeout: 300_000, maxWorkers: 1 },
      },
    ],
  },
});
