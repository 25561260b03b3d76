/** Runs a TypeScript file of this folder from the sources: `node benchmarks/ts.mjs FILE [ARGUMENTS]`. */
import { fileURLToPath } from 'node:url';
import { runnerImport } from 'vite';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const alias = { '@textual-inversion/core': here('../packages/core/src/index.ts') };
await runnerImport(here(process.argv[2] ?? ''), { resolve: { alias }, logLevel: 'error' });
