import { defineConfig, type Options } from 'tsup';

const common: Options = { target: 'es2022', sourcemap: true };

/** One door, two rooms: the export conditions of package.json choose. */
export default defineConfig([
  { ...common, entry: ['src/node.ts'], format: ['esm', 'cjs'], dts: true, clean: true },
  { ...common, entry: ['src/web.ts'], format: ['esm'], dts: true },
  { ...common, entry: ['src/cli.ts'], format: ['esm'] },
]);
