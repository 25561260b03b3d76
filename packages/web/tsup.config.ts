import { defineConfig } from 'tsup';

export default defineConfig({
  entry: ['src/index.ts', 'src/worker.ts'],
  format: ['esm', 'cjs'],
  dts: true,
  clean: true,
  platform: 'browser', // or what is bundled comes in its version for Node
  target: 'es2022',
  sourcemap: true,
  shims: true, // import.meta.url in CommonJS
  noExternal: ['fast-png'], // an ES module alone
});
