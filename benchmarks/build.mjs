import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'tsup';

const HERE = fileURLToPath(new URL('.', import.meta.url));

/** Bundles our side of the benchmarks from the sources. @returns The file to run. */
export async function buildOurs() {
  const outDir = join(HERE, '.cache', 'build');
  await build({
    config: false,
    entry: { ours: join(HERE, 'ours.ts'), 'ort-worker': join(HERE, '..', 'packages', 'node', 'src', 'ort-worker.mjs') },
    tsconfig: join(HERE, '..', 'tsconfig.json'),
    outDir,
    format: ['esm'],
    outExtension: () => ({ js: '.mjs' }),
    platform: 'node',
    target: 'node20',
    noExternal: [/^@textual-inversion\//],
    external: ['onnxruntime-node', 'sharp', '@tensorflow/tfjs-core', 'onnxruntime-common', 'protobufjs', 'ndarray'],
    silent: true,
    clean: false,
  });
  return join(outDir, 'ours.mjs');
}

if (process.argv[1] === fileURLToPath(import.meta.url)) console.log(await buildOurs());
