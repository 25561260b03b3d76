import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { decode } from 'fast-png';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CONCEPT_FORMATS, type Concept, readSafetensors, writeConcept } from '../../packages/core/src/index.js';
import { fingerprint } from '../../packages/core/src/training/resume.js';
import { BACKEND_NAMES, evaluate, loadConcept, loadModel, readPictures } from '../../packages/node/src/index.js';
import { readTensors } from '../support/golden.js';
import { bytesSource } from '../support/inversion.js';
import { everythingIn, root, run, scratchFolder } from './command-line.js';

const scratch = scratchFolder();
const at = (...path: string[]) => join(scratch.path, ...path);
const pictures = join(root, 'examples/concepts/foxi/heldout');
/** Width of the embedded model's vocabulary. */
const WIDTH = 128;

/** A concept with different numbers in every place, as large as words of the embedded model. */
function concept(widths: readonly number[] = [WIDTH]): Concept {
  const rows = widths.map((width, e) => ({
    data: Float32Array.from({ length: 2 * width }, (_, i) => 0.01 * Math.sin(1.7 * i + e)),
    shape: [2, width],
  }));
  return { token: '<new>', rows, info: { steps: 12, model: 'tiny' } };
}
const given = concept();

beforeAll(() => writeFileSync(at('new.safetensors'), writeConcept(given)));
afterAll(() => scratch.remove());

/** What a command that succeeds tells a program. */
async function told(...args: string[]): Promise<{ json: unknown; stderr: string }> {
  const { status, stdout, stderr } = await run([...args, '--json'], { cwd: scratch.path });
  expect(status, stderr).toBe(0);
  return { json: JSON.parse(stdout), stderr };
}

describe('generate', () => {
  const flags = (...more: string[]) => [
    ...'generate --concept new.safetensors --steps 3 --sampler euler --guidance 4.5 --width 24 --height 40'.split(' '),
    ...['--prompt', 'a photo of <new>', '--negative', 'two monsters'],
    ...more,
  ];
  const settings = {
    prompt: 'a photo of <new>',
    negativePrompt: 'two monsters',
    steps: 3,
    guidanceScale: 4.5,
    sampler: 'euler',
    widthPx: 24,
    heightPx: 40,
    model: 'tiny',
  };

  it('draws pictures of the size, the seeds and the settings that are asked for', async () => {
    const { json, stderr } = await told(...flags('--seed', '7', '--count', '2', '--scale', '2', '--out', 'drawn'));
    expect(stderr).toBe(''); // no concept is missing, none unused
    expect(json).toEqual({
      pictures: [7, 8].map((seed) => ({
        path: join('drawn', `a-photo-of-new-${seed}.png`),
        settings: { ...settings, seed },
      })),
    });
    const drawn = [7, 8].map((seed) => decode(readFileSync(at('drawn', `a-photo-of-new-${seed}.png`))));
    for (const [i, { width, height, channels, text }] of drawn.entries()) {
      expect({ width, height, channels }).toEqual({ width: 48, height: 80, channels: 3 });
      expect(text).toEqual({
        parameters:
          'a photo of <new>\nNegative prompt: two monsters\n' +
          `Steps: 3, Sampler: euler, CFG scale: 4.5, Seed: ${7 + i}, Size: 24x40, Model: tiny`,
      });
    }
    await told(...flags('--seed', '8', '--scale', '2', '--out', 'alone'));
    expect(decode(readFileSync(at('alone/a-photo-of-new-8.png'))).data).toEqual(drawn[1]?.data);
    expect(drawn[0]?.data).not.toEqual(drawn[1]?.data);
  });
});

describe('convert', () => {
  it.each(CONCEPT_FORMATS)('to $name, which says and holds the same', async ({ name, extension, encoders }) => {
    const widths = encoders === 1 ? [WIDTH] : [8, 12];
    const whole = { ...concept(widths), info: {} };
    const [from, to] = [`${name}.safetensors`, join(name, `new${extension}`)]; // some formats know no word but the file's name
    writeFileSync(at(from), writeConcept(whole));
    mkdirSync(at(name));
    const { json } = await told('convert', from, to, '--to', name);
    expect(json).toEqual({ from: encoders === 1 ? 'diffusers' : 'sdxl', to: name, path: to });
    const { json: inspected } = await told('inspect', to);
    expect(inspected).toMatchObject({
      kind: 'concept',
      format: name,
      token: '<new>',
      vectors: 2,
      width: encoders === 1 ? WIDTH : widths,
    });
    expect((await loadConcept(at(to))).rows).toEqual(whole.rows);
  });

  it('to what the extension says, and to another word', async () => {
    const { json } = await told('convert', 'new.safetensors', 'other.pt', '--token', '<other>');
    expect(json).toEqual({ from: 'diffusers', to: 'a1111', path: 'other.pt' });
    const { json: inspected } = await told('inspect', 'other.pt');
    expect(inspected).toMatchObject({ format: 'a1111', token: '<other>', steps: 12, model: 'tiny' });
    expect(inspected).toHaveProperty('nearest'); // it was learned on the embedded model, whose words are known
  });
});

it('evaluate says what the library says', async () => {
  const shared = { prompt: 'a picture of {}', caption: 'a photo of a monster', count: 1, steps: 2, seed: 3 };
  const edits = ['a photo of {} on the beach', 'a photo of two {}'];
  const { json } = await told(
    ...['evaluate', '--concept', 'new.safetensors', '--images', pictures, '--sampler', 'ddim', '--guidance', '3'],
    ...Object.entries(shared).flatMap(([name, value]) => [`--${name}`, String(value)]),
    ...['--edit', ...edits],
  );
  const model = await loadModel('tiny');
  const found = await evaluate({
    ...shared,
    model,
    concept: await loadConcept(at('new.safetensors')),
    images: pictures,
    edits,
    sampler: 'ddim',
    guidanceScale: 3,
  });
  model.dispose();
  const near = (value: number | undefined) => expect.closeTo(value ?? Number.NaN, 5) as number;
  expect(json).toEqual({
    concept: 'new.safetensors',
    token: '<new>',
    imageSimilarity: near(found.imageSimilarity),
    picturesSimilarity: near(found.picturesSimilarity),
    captionSimilarity: near(found.captionSimilarity),
    edits: edits.map((prompt, i) => ({ prompt, textSimilarity: near(found.edits[i]?.textSimilarity) })),
    textSimilarity: near(found.textSimilarity),
    count: 1,
    steps: 2,
  });
});

it('doctor lists every backend, and measures the one it takes', async () => {
  const { json } = await told('doctor');
  expect(json).toEqual({
    machine: { node: process.versions.node, platform: expect.any(String), cores: expect.any(Number) },
    backends: BACKEND_NAMES.map((name) => expect.objectContaining({ name, works: expect.any(Boolean) })),
    chosen: { name: 'onnx-cpu', reason: expect.any(String) },
    model: 'tiny',
    secondsPerStep: expect.any(Number),
  });
  expect(json).toHaveProperty('backends.0', expect.objectContaining({ name: 'onnx-cpu', works: true }));
});

describe('train', () => {
  /** Flags that decide a run: what is given, and the setting that a checkpoint then holds. */
  const DECIDING: Record<string, [given: string[], name: string, value: unknown]> = {
    vectors: [['2'], 'vectors', 2],
    steps: [['2'], 'steps', 2],
    batch: [['3'], 'batchSize', 3],
    accumulate: [['2'], 'gradientAccumulation', 2],
    lr: [['0.004'], 'learningRate', 0.004],
    'scale-lr': [[], 'scaleLearningRate', true],
    'lr-shape': [['cosine'], 'learningRateShape', 'cosine'],
    warmup: [['1'], 'warmupSteps', 1],
    'weight-decay': [['0.25'], 'weightDecay', 0.25],
    seed: [['11'], 'seed', 11],
    property: [['style'], 'property', 'style'],
    size: [['16'], 'sizePx', 16],
    crop: [['random'], 'crop', 'random'],
    flip: [[], 'flip', true],
    'min-snr': [['5'], 'minSnrGamma', 5],
  };
  /** Flags that the test below looks for elsewhere than in the settings. */
  const SEEN: Record<string, string[]> = {
    images: ['images'],
    token: ['<new>'],
    init: ['new.safetensors'],
    template: ['one {}', 'two {}'],
    captions: ['captions'],
    model: ['model'],
    backend: ['wasm'],
    'preview-every': ['1'],
    'preview-prompt': ['a {} at night'],
    'preview-count': ['2'],
    'checkpoint-every': ['1'],
    out: ['learned'],
  };
  /** Flags of which nothing is to be seen here, or which other tests are about. */
  const OTHERS = ['variant', 'threads', 'no-captions', 'resume', 'overwrite', 'json'];

  it('passes every flag on', async () => {
    const { stdout: help } = await run(['train', '--help']);
    const flags = [...help.matchAll(/^ {2}--([a-z-]+)/gm)].map(([, name]) => name ?? '');
    expect(flags.toSorted()).toEqual([...Object.keys(DECIDING), ...Object.keys(SEEN), ...OTHERS].toSorted());

    cpSync(join(root, 'packages/tiny-model'), at('model'), { recursive: true });
    mkdirSync(at('images'));
    mkdirSync(at('captions'));
    for (const name of ['1.png', '2.png']) cpSync(join(pictures, '..', name), at('images', name));
    writeFileSync(at('captions/2.txt'), 'a {} in the sun');
    const asked = Object.entries({
      ...SEEN,
      ...Object.fromEntries(Object.entries(DECIDING).map(([k, [v]]) => [k, v])),
    });
    const { json } = await told('train', ...asked.flatMap(([name, values]) => [`--${name}`, ...values]));
    expect(json).toEqual({
      concept: join('learned', 'new.safetensors'),
      report: join('learned', 'report.html'),
      preview: join('learned', 'previews', 'last.png'),
      steps: 2,
      backend: 'wasm',
    });
    expect(everythingIn(at('learned'))).toEqual(
      expect.arrayContaining([
        join('checkpoints', 'step-000001.safetensors'),
        join('checkpoints', 'step-000002.safetensors'),
        join('previews', 'step-000001.png'),
      ]),
    );

    const checkpoint = at('learned/checkpoints/step-000002.safetensors');
    const { metadata } = await readSafetensors(bytesSource(readFileSync(checkpoint)));
    expect(metadata).toMatchObject({ token: '<new>', model: 'model', step: '2' });
    const shown = await readPictures(at('images'));
    const sentences = [['one <new>', 'two <new>'], ['a <new> in the sun']];
    expect(JSON.parse(metadata['settings'] ?? '')).toEqual({
      ...Object.fromEntries(Object.values(DECIDING).map(([, name, value]) => [name, value])),
      maxGradientNorm: 0,
      background: [255, 255, 255],
      seen: fingerprint([...shown.flatMap(({ data, shape }) => [data, shape]), sentences]),
    });
    expect(readTensors(checkpoint).get('start.0')?.data).toEqual(given.rows[0]?.data);

    expect(readFileSync(at('learned/report.html'), 'utf8')).toContain('a &#60;new&#62; at night');
    const preview = decode(readFileSync(at('learned/previews/last.png')));
    expect(Math.round(preview.width / preview.height)).toBe(2);
  });
});
