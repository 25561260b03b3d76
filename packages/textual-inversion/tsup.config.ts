import { defineConfig } from 'tsup';

/** One door, two rooms: the export conditions of package.json choose. */
export default defineConfig({
  entry: ['src/node.ts', 'src/web.ts'],
  format: ['esm', 'cjs'],
  dts: { entry: ['src/node.ts', 'src/web.ts'] },
  clean: true,
  target: 'es2022',
  sourcemap: true,
});
