import { cpSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import ndarray from 'ndarray';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { codec } from '../../packages/node/src/index.js';
import { golden } from '../support/golden.js';
import { hollowPng } from '../support/hollow-png.js';
import { families } from '../support/models.js';
import { everythingIn, run, scratchFolder, start } from './command-line.js';

const scratch = scratchFolder();
const at = (...path: string[]) => join(scratch.path, ...path);
/** A model of the goldens whose prompts and pictures are small; which one does not matter. */
const family = families[0] ?? '';
const good = {
  model: golden(family),
  images: at('images'),
  token: '<new-word>',
  init: 'random',
};

beforeAll(async () => {
  const noise = (size: number) => new Uint8Array(size * size * 3).map((_, i) => (i * 7919) % 256);
  const png = await codec.encodePng(ndarray(noise(16), [16, 16, 3]));
  const folder = (name: string) => {
    mkdirSync(at(name));
    return (file: string, bytes: Uint8Array | string) => writeFileSync(at(name, file), bytes);
  };
  folder('images')('a.png', png);
  folder('no-pictures')('notes.txt', 'none here');
  folder('text')('a.png', 'not a picture');
  const jpeg = await sharp(noise(64), { raw: { width: 64, height: 64, channels: 3 } })
    .jpeg()
    .toBuffer();
  folder('cut')('a.jpg', jpeg.subarray(0, jpeg.length >> 1));
  const frames = sharp(noise(16), { raw: { width: 16, height: 16, channels: 3, pageHeight: 8 } }).gif();
  folder('moving')('a.gif', await frames.toBuffer());
  folder('huge')('a.png', hollowPng(20_000, 20_000));

  writeFileSync(at('words.safetensors'), 'these are words');
  writeFileSync(at('short.safetensors'), Buffer.from([9, 0, 0, 0, 0, 0, 0, 0, 0x7b]));
  const header = JSON.stringify({ '<x>': { dtype: 'F32', shape: [1, 999], data_offsets: [0, 8] } });
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  writeFileSync(at('lies.safetensors'), Buffer.concat([length, Buffer.from(header), Buffer.alloc(8)]));
  // The older PyTorch format: a magic number, a version, an empty system description, and a call of posix.system.
  const call = `cposix\nsystem\n(S'touch ${at('owned')}'\ntR.`;
  const pickles = ['\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.', '\x80\x02M\xe9\x03.', '\x80\x02}.', call];
  writeFileSync(at('hostile.pt'), Buffer.from(pickles.join(''), 'latin1'));
  const wide = JSON.stringify({ '<wide>': { dtype: 'F32', shape: [1, 3], data_offsets: [0, 12] } });
  length.writeBigUInt64LE(BigInt(wide.length));
  writeFileSync(at('wide.safetensors'), Buffer.concat([length, Buffer.from(wide), Buffer.alloc(12, 1)]));

  const broken = (name: string, spoil: (folder: string) => void) => {
    cpSync(good.model, at(name), { recursive: true });
    spoil(at(name));
  };
  broken('model-without-unet', (model) => rmSync(join(model, 'unet'), { recursive: true }));
  broken('model-of-pickles', (model) =>
    renameSync(
      join(model, 'unet/diffusion_pytorch_model.safetensors'),
      join(model, 'unet/diffusion_pytorch_model.bin'),
    ),
  );
  broken('model-of-another-class', (model) => {
    const index = JSON.parse(readFileSync(join(model, 'model_index.json'), 'utf8')) as Record<string, unknown>;
    writeFileSync(join(model, 'model_index.json'), JSON.stringify({ ...index, _class_name: 'FluxPipeline' }));
  });
  broken('model-of-another-shape', (model) => {
    const path = join(model, 'unet/config.json');
    const config = JSON.parse(readFileSync(path, 'utf8')) as { cross_attention_dim: number };
    writeFileSync(path, JSON.stringify({ ...config, cross_attention_dim: config.cross_attention_dim * 2 }));
  });
  const weights = 'unet/diffusion_pytorch_model.safetensors';
  broken('model-that-is-cut', (model) => truncateSync(join(model, weights), 5000));
  broken('model-with-nan', (model) => {
    const bytes = readFileSync(join(model, weights));
    const begin = 8 + Number(bytes.readBigUInt64LE(0));
    const header = JSON.parse(bytes.subarray(8, begin).toString()) as Record<
      string,
      { data_offsets: [number, number] }
    >;
    bytes.writeFloatLE(Number.NaN, begin + (header['conv_in.weight']?.data_offsets[0] ?? 0));
    writeFileSync(join(model, weights), bytes);
  });
  mkdirSync(at('taken'));
  mkdirSync(at('taken/checkpoints'));
  writeFileSync(at('file'), '');
});
afterAll(() => scratch.remove());

const train = (changed: Partial<typeof good>, ...more: string[]) => [
  'train',
  ...Object.entries({ ...good, steps: '1', out: at('out'), ...changed }).flatMap(([name, value]) => [
    `--${name}`,
    value,
  ]),
  ...more,
];
const generate = (...more: string[]) => [
  ...'generate --steps 1 --prompt <wide> --out'.split(' '),
  at('out'),
  '--model',
  good.model,
  ...more,
];

/** What is asked for, the code it is refused with, and something the message says. */
const refusals: [string, () => string[], string, string][] = [
  ['no pictures', () => train({ images: at('nowhere') }), 'IMAGE_NONE', 'nowhere'],
  ['a folder without pictures', () => train({ images: at('no-pictures') }), 'IMAGE_NONE', 'no-pictures'],
  ['a text file named .png', () => train({ images: at('text') }), 'IMAGE_FORMAT', 'a.png'],
  ['a JPEG that is cut', () => train({ images: at('cut') }), 'IMAGE_CORRUPT', 'a.jpg'],
  ['a GIF that moves', () => train({ images: at('moving') }), 'IMAGE_FORMAT', '2 frames'],
  ['a picture of 20,000 x 20,000', () => train({ images: at('huge') }), 'IMAGE_TOO_LARGE', '20000 x 20000'],
  ['a token that is a word already', () => train({ token: 'photo' }), 'TOKEN_EXISTS', '"<photo>"'],
  ['an empty token', () => train({ token: '' }), 'TOKEN_INVALID', 'token'],
  ['a token with spaces', () => train({ token: 'my cat' }), 'TOKEN_INVALID', 'my cat'],
  ['an initializer of several tokens', () => train({ init: 'photo photo' }), 'INITIALIZER_INVALID', '2 vectors'],
  [
    'an initializer that is the file of something else',
    () => train({ init: at('words.safetensors') }),
    'CONCEPT_FORMAT',
    'words',
  ],
  ['no steps', () => train({}, '--steps', '0'), 'OPTION_INVALID', '--steps'],
  ['a negative learning rate', () => train({}, '--lr', '-1'), 'OPTION_INVALID', '--lr'],
  ['a number that is none', () => train({}, '--batch', 'two'), 'OPTION_INVALID', '--batch'],
  ['an unknown property', () => train({}, '--property', 'stile'), 'OPTION_INVALID', 'style'],
  ['captions that are not there', () => train({}, '--captions', at('nowhere')), 'OPTION_INVALID', 'captions'],
  ['a model that is no folder', () => train({ model: at('nowhere') }), 'MODEL_MISSING_FILE', 'nowhere'],
  ['a model without a part', () => train({ model: at('model-without-unet') }), 'MODEL_MISSING_FILE', 'unet'],
  [
    'a model whose weights are PyTorch files alone',
    () => train({ model: at('model-of-pickles') }),
    'MODEL_UNSUPPORTED',
    'safe_serialization=True',
  ],
  [
    'a model of another class',
    () => train({ model: at('model-of-another-class') }),
    'MODEL_UNSUPPORTED',
    'FluxPipeline',
  ],
  ['weights of another shape', () => train({ model: at('model-of-another-shape') }), 'WEIGHT_SHAPE', 'unet.'],
  ['weights that are cut', () => train({ model: at('model-that-is-cut') }), 'WEIGHT_FORMAT', 'unet'],
  ['weights that are not finite', () => train({ model: at('model-with-nan') }), 'WEIGHT_NOT_FINITE', 'conv_in.weight'],
  ['a preview without the word', () => train({}, '--preview-prompt', 'a cat'), 'OPTION_INVALID', '{}'],
  ['a template without the word', () => train({}, '--template', 'a cat'), 'OPTION_INVALID', 'templates'],
  ['an output that exists', () => train({}, '--out', at('taken')), 'OUTPUT_EXISTS', '--overwrite'],
  ['an output below a file', () => train({}, '--out', at('file/out')), 'OUTPUT_UNWRITABLE', 'file'],
  ['pictures below a file', () => generate('--out', at('file/out')), 'OUTPUT_UNWRITABLE', 'file'],
  ['a size that no memory holds', () => generate('--width', '100000'), 'SIZE_INVALID', 'at most'],
  ['a number that is none', () => train({}, '--lr', 'abc'), 'OPTION_INVALID', '"abc"'],
  ['an unknown backend', () => train({}, '--backend', 'onx-cpu'), 'BACKEND_UNKNOWN', '"onnx-cpu"'],
  ['an unknown option', () => train({}, '--stepz', '5'), 'OPTION_UNKNOWN', '--steps'],
  ['an unknown command', () => ['trian'], 'OPTION_UNKNOWN', 'train'],
  ['a missing option', () => ['train', '--images', good.images], 'OPTION_INVALID', '--token'],
  ['an unknown sampler', () => generate('--sampler', 'eulr'), 'OPTION_INVALID', '"euler"'],
  ['a size that the autoencoder cannot take', () => generate('--width', '15'), 'SIZE_INVALID', 'multiple of'],
  ['a concept of another width', () => generate('--concept', at('wide.safetensors')), 'CONCEPT_WIDTH', 'found 3'],
  ['a concept that is not there', () => generate('--concept', at('nowhere')), 'CONCEPT_FORMAT', 'no such file'],
  ['a concept that is cut', () => generate('--concept', at('short.safetensors')), 'CONCEPT_FORMAT', 'short'],
  ['a concept that lies about its size', () => generate('--concept', at('lies.safetensors')), 'CONCEPT_FORMAT', 'lies'],
  ['a concept that is a program', () => generate('--concept', at('hostile.pt')), 'CONCEPT_UNSAFE', 'hostile'],
  [
    'an unknown format',
    () => ['convert', at('wide.safetensors'), at('out'), '--to', 'difusers'],
    'OPTION_INVALID',
    '"diffusers"',
  ],
  [
    'a conversion onto a file that exists',
    () => ['convert', at('wide.safetensors'), at('file')],
    'OUTPUT_EXISTS',
    'file',
  ],
  ['a thing that is not there', () => ['inspect', at('nowhere')], 'OPTION_INVALID', 'nowhere'],
];

describe('is refused with status 2, and nothing is written:', () => {
  it.concurrent.each(refusals)('%s', async (_, args, code, says) => {
    const before = everythingIn(scratch.path);
    const { status, stderr, stdout } = await run(args());
    expect(stderr).toContain(`error ${code}: `);
    expect(stderr).toContain(says);
    expect(stderr).not.toContain('    at '); // no stack: it is the caller's mistake
    expect(status).toBe(2);
    expect(stdout).toBe('');
    expect(everythingIn(scratch.path)).toEqual(before);
    expect(existsSync(at('owned'))).toBe(false);
  });

  it('for a program, as JSON', async () => {
    const { status, stderr } = await run(['inspect', at('nowhere'), '--json']);
    expect(status).toBe(2);
    expect(JSON.parse(stderr)).toMatchObject({ error: { code: 'OPTION_INVALID' } });
  });
});

it('a reader that leaves, such as head, is no error', async () => {
  const { child, outcome } = start(['train', '--help']);
  child.stdout?.destroy();
  expect(await outcome).toEqual({ status: 0, stdout: '', stderr: '' });
});
