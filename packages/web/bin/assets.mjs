/** What a page has to serve from its own origin beside its bundle: WebAssembly of the engines and the embedded model. */
import { createHash } from 'node:crypto';
import { cpSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

const ENGINES = [
  [
    'onnxruntime-web',
    ['ort-wasm-simd-threaded', 'ort-wasm-simd-threaded.asyncify'].flatMap((name) => [`${name}.mjs`, `${name}.wasm`]),
  ],
  ['@tensorflow/tfjs-backend-wasm', ['', '-simd'].map((kind) => `tfjs-backend-wasm${kind}.wasm`)],
];

/** Fills `folder`. @returns bytes written, by file */
export function copyAssets(folder) {
  const require = createRequire(import.meta.url);
  const written = {};
  mkdirSync(folder, { recursive: true });
  for (const [name, files] of ENGINES) {
    const main = require.resolve(name);
    const dist = main.slice(0, main.lastIndexOf('dist') + 'dist'.length);
    for (const file of files) {
      cpSync(join(dist, file), join(folder, file));
      written[file] = statSync(join(folder, file)).size;
    }
  }
  const tiny = dirname(require.resolve('@textual-inversion/tiny-model/package.json'));
  const list = {};
  for (const path of readdirSync(tiny, { recursive: true, encoding: 'utf8' })
    .map((entry) => entry.replaceAll('\\', '/'))
    .sort()) {
    // The picture encoder and its text tower judge concepts; pages do not.
    if (
      !/\.(json|txt|safetensors)$/.test(path) ||
      /^(package\.json|image_encoder|clip_text_encoder|feature_extractor)/.test(path)
    )
      continue;
    const bytes = readFileSync(join(tiny, path));
    mkdirSync(dirname(join(folder, 'tiny', path)), { recursive: true });
    writeFileSync(join(folder, 'tiny', path), bytes);
    list[path] = { size: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') };
    written[`tiny/${path}`] = bytes.length;
  }
  writeFileSync(join(folder, 'tiny', 'files.json'), JSON.stringify(list, null, 1));
  return written;
}
