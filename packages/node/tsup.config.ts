import { defineConfig } from 'tsup';

export default defineConfig({
  entry: ['src/index.ts', 'src/cli.ts'],
  format: ['esm', 'cjs'],
  dts: { entry: 'src/index.ts' },
  clean: true,
  target: 'es2022',
  sourcemap: true,
  shims: true, // import.meta.url in CommonJS
  noExternal: ['fast-png'], // an ES module alone, which CommonJS in Node 20.9 cannot require
});
