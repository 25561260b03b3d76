import { defineConfig, type Options } from 'tsup';

const common: Options = {
  target: 'es2022',
  sourcemap: true,
  external: ['onnxruntime-node'], // optional, with a native binary beside it
  noExternal: ['fast-png'], // an ES module alone, which CommonJS in Node 20.9 cannot require
};

export default defineConfig([
  { ...common, entry: ['src/index.ts'], format: ['esm', 'cjs'], dts: true, clean: true, shims: true },
  { ...common, entry: ['src/cli.ts'], format: ['esm'] },
  { ...common, entry: ['src/ort-worker.mjs'], format: ['esm'], outExtension: () => ({ js: '.mjs' }) },
]);
