/**
 * Makes a Stable Diffusion 1.5 checkpoint with random weights: names, shapes and configurations of the published one, so that it costs
 * what the published one costs. Speed does not depend on the numbers, as long as none of them is denormal or infinite.
 */
import {
  closeSync,
  cpSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
/** `TI_BENCH_CACHE`, or a folder that git ignores. The checkpoint takes 4.3 GB. */
export const CACHE = process.env.TI_BENCH_CACHE ?? join(ROOT, 'benchmarks', '.cache');

const PARTS = {
  unet: 'diffusion_pytorch_model.safetensors',
  vae: 'diffusion_pytorch_model.safetensors',
  text_encoder: 'model.safetensors',
};

/** @returns The folder, made on first use. */
export function sd15() {
  const folder = join(CACHE, 'sd15-random');
  if (existsSync(join(folder, 'model_index.json'))) return folder;
  const draft = `${folder}.part`;
  rmSync(draft, { recursive: true, force: true });
  const golden = join(ROOT, 'tests', 'golden');
  const layout = JSON.parse(readFileSync(join(golden, 'layouts', 'stable-diffusion-v1-5.json'), 'utf8'));
  for (const [part, file] of Object.entries(PARTS)) {
    mkdirSync(join(draft, part), { recursive: true });
    // The reference tells 1.0 from 1, which JavaScript does not.
    const config = JSON.stringify(layout[part].config).replace(/("initializer_factor":1)(?=[,}])/, '$1.0');
    writeFileSync(join(draft, part, 'config.json'), config);
    writeWeights(join(draft, part, file), layout[part].tensors);
  }
  mkdirSync(join(draft, 'scheduler'));
  writeFileSync(join(draft, 'scheduler', 'scheduler_config.json'), JSON.stringify(layout.scheduler.config));
  cpSync(join(golden, 'tiny-sd1', 'tokenizer'), join(draft, 'tokenizer'), { recursive: true });
  const index = {
    _class_name: 'StableDiffusionPipeline',
    _diffusers_version: '0.6.0',
    feature_extractor: [null, null],
    safety_checker: [null, null],
    requires_safety_checker: false,
    scheduler: ['diffusers', 'PNDMScheduler'],
    text_encoder: ['transformers', 'CLIPTextModel'],
    tokenizer: ['transformers', 'CLIPTokenizer'],
    unet: ['diffusers', 'UNet2DConditionModel'],
    vae: ['diffusers', 'AutoencoderKL'],
  };
  writeFileSync(join(draft, 'model_index.json'), JSON.stringify(index));
  renameSync(draft, folder);
  return folder;
}

/** Normal numbers, drawn once and used again at shifting places: drawing a thousand million would take minutes. */
const POOL = (() => {
  let state = 1;
  const uniform = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state + 0.5) / 2 ** 32;
  };
  return Float32Array.from(
    { length: 1_000_003 },
    () => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform()),
  );
})();

function writeWeights(path, tensors) {
  const header = {};
  let offset = 0;
  for (const [name, [dtype, shape]] of Object.entries(tensors)) {
    const bytes = shape.reduce((product, size) => product * size, 1) * (dtype === 'I64' ? 8 : 4);
    header[name] = { dtype: dtype === 'I64' ? 'I64' : 'F32', shape, data_offsets: [offset, (offset += bytes)] };
  }
  const text = Buffer.from(JSON.stringify(header));
  const padded = Buffer.concat([text, Buffer.alloc((8 - (text.length % 8)) % 8, ' ')]);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(padded.length));
  const file = openSync(path, 'w');
  writeSync(file, length);
  writeSync(file, padded);
  let shift = 0;
  for (const [name, { dtype, shape }] of Object.entries(header)) {
    const count = shape.reduce((product, size) => product * size, 1);
    const bytes =
      dtype === 'I64'
        ? Buffer.from(BigInt64Array.from({ length: count }, (_, i) => BigInt(i)).buffer)
        : Buffer.from(values(name, shape, count, (shift += 7919)).buffer);
    for (let done = 0; done < bytes.length; ) done += writeSync(file, bytes, done, bytes.length - done);
  }
  closeSync(file);
}

function values(name, shape, count, shift) {
  const out = new Float32Array(count);
  if (shape.length === 1) return out.fill(/norm.*\.weight$/.test(name) ? 1 : 0);
  // As large as keeps the size of what passes through.
  const scale = name.includes('embedding') ? 0.02 : 1 / Math.sqrt(count / shape[0]);
  for (let i = 0; i < count; i++) out[i] = POOL[(i + shift) % POOL.length] * scale;
  return out;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) console.log(sd15());
