import { describe, expect, it } from 'vitest';
import { memoryFile } from '../../../../../tests/support/memory.js';
import type { HostTensor } from '../../platform.js';
import { writeSafetensors } from '../../weights/safetensors.js';
import type { TorchValue } from '../../weights/torch-file.js';
import { writeTorchFile } from '../../weights/torch-write.js';
import type { Concept } from '../concept.js';
import { CONCEPT_FORMATS, pairConcepts, readConcept, writeConcept } from './index.js';

const rows = (...shape: number[]): HostTensor => ({
  data: Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => Math.cos(i)),
  shape,
});
const read = (bytes: Uint8Array, name = 'my cat.file', token?: string) => readConcept(memoryFile(name, bytes), token);
const torch = (...entries: [string, TorchValue][]) => writeTorchFile(new Map(entries));
const tensors = (entries: Record<string, HostTensor>, metadata?: Record<string, string>) =>
  writeSafetensors(entries, metadata);

const concept: Concept = { token: '<cat>', rows: [rows(2, 8)], info: { steps: 7, model: 'tiny' } };
const pair: Concept = { ...concept, rows: [rows(2, 8), rows(2, 12)] };

describe('readConcept', () => {
  it.each<[string, Uint8Array, string, string | undefined, number[][]]>([
    ['one tensor by its name', tensors({ '<a>': rows(3, 8) }), 'diffusers', '<a>', [[3, 8]]],
    ['one row without its axis', torch(['<a>', rows(8)]), 'diffusers', '<a>', [[1, 8]]],
    ['a tensor alone', writeTorchFile(rows(3, 8)), 'diffusers', undefined, [[3, 8]]],
    ['half of an SDXL file', tensors({ clip_l: rows(3, 8) }), 'diffusers', undefined, [[3, 8]]],
    ['kohya', tensors({ emb_params: rows(3, 8) }), 'kohya', undefined, [[3, 8]]],
    ['OneTrainer', tensors({ emp_params: rows(3, 8) }), 'onetrainer', undefined, [[3, 8]]],
    [
      'SDXL',
      tensors({ clip_g: rows(2, 12), clip_l: rows(2, 8) }),
      'sdxl',
      undefined,
      [
        [2, 8],
        [2, 12],
      ],
    ],
    [
      'SDXL by pivotal tuning',
      torch(['text_encoders_0', rows(2, 8)], ['text_encoders_1', rows(2, 12)]),
      'sdxl',
      undefined,
      [
        [2, 8],
        [2, 12],
      ],
    ],
    ['A1111', torch(['string_to_param', new Map([['*', rows(3, 8)]])], ['name', 'a']), 'a1111', 'a', [[3, 8]]],
    ['a word of its own', torch(['string_to_param', new Map([['<a>', rows(8)]])]), 'compvis', '<a>', [[1, 8]]],
  ])('reads %s', async (_, bytes, format, token, shapes) => {
    const found = await read(bytes);
    expect(found.format).toBe(format);
    expect(found.concept.token).toBe(token ?? '<my-cat>');
    expect(found.concept.rows.map(({ shape }) => shape)).toEqual(shapes);
    expect((await read(bytes, 'x', '<b>')).concept.token).toBe(token ?? '<b>');
  });

  it('reads what is known of the training', async () => {
    const kohya = tensors({ emb_params: rows(1, 8) }, { ss_steps: '1600', ss_sd_model_name: 'v1-5.safetensors' });
    expect((await read(kohya)).concept.info).toEqual({ steps: 1600, model: 'v1-5.safetensors' });
    const a1111 = torch(
      ['string_to_param', new Map([['*', rows(1, 8)]])],
      ['step', 1200],
      ['sd_checkpoint_name', 'v1-4'],
    );
    expect((await read(a1111)).concept.info).toEqual({ steps: 1200, model: 'v1-4' });
    expect((await read(tensors({ '<a>': rows(1, 8) }, { steps: 'many' }))).concept.info).toEqual({});
  });

  it.each<[string, Uint8Array, RegExp]>([
    ['of a model', tensors({ 'conv_in.weight': rows(2, 2, 3, 3), 'conv_in.bias': rows(2) }), /2 entries: conv_in/],
    [
      'of many tensors',
      tensors(Object.fromEntries(Array.from({ length: 40 }, (_, i) => [`lora_${i}`, rows(1)]))),
      /40 tensors, such as lora_0/,
    ],
    ['of two words', tensors({ '<a>': rows(8), '<b>': rows(8) }), /2 entries/],
    [
      'of two words in one',
      torch([
        'string_to_param',
        new Map([
          ['a', rows(8)],
          ['b', rows(8)],
        ]),
      ]),
      /entries/,
    ],
    ['with rows for T5 too', tensors({ clip_l: rows(1, 8), clip_g: rows(1, 12), t5xxl: rows(1, 16) }), /3 entries/],
    ['with outputs too', tensors({ emp_params: rows(1, 8), emp_params_out: rows(1, 8) }), /2 entries/],
    ['with encoders that differ', tensors({ clip_l: rows(1, 8), clip_g: rows(2, 12) }), /\[1, 8\] and \[2, 12\]/],
    ['without rows', tensors({ '<a>': rows(0, 8) }), /\[0, 8\]/],
    ['without width', tensors({ '<a>': rows(8, 0) }), /\[8, 0\]/],
    ['of too many rows', tensors({ '<a>': rows(2000, 1) }), /\[2000, 1\]/],
    ['of a number', torch(['<a>', 5]), /1 entries/],
    ['that is a word', writeTorchFile('<a>'), /no tensors/],
    ['of numbers that are none', tensors({ '<a>': { data: Float32Array.of(1, Number.NaN), shape: [2] } }), /finite/],
    ['that is text', new TextEncoder().encode('a concept, it says'), /safetensors or PyTorch/],
    ['that is empty', new Uint8Array(), /safetensors or PyTorch/],
    ['that is large', new Uint8Array(17 * 2 ** 20), /17 MiB/],
    ['that is cut', tensors({ '<a>': rows(1, 8) }).slice(0, -1), /safetensors|bytes/],
  ])('refuses a file %s', async (_, bytes, message) => {
    await expect(read(bytes)).rejects.toMatchObject({
      code: 'CONCEPT_FORMAT',
      message: expect.stringMatching(message),
    });
  });
});

describe('writeConcept', () => {
  const files = CONCEPT_FORMATS.flatMap(({ extensions, ...format }) =>
    extensions.map((extension) => ({ ...format, extension })),
  );
  it.each(files)('$name as $extension comes back', async ({ name, encoders, extension }) => {
    const original = encoders === 2 ? pair : concept;
    const bytes = writeConcept(original, name, extension);
    const { concept: found, format } = await read(bytes);
    expect(format).toBe(name);
    expect(found.rows).toEqual(original.rows);
    // What tools agreed on has no place for more in PyTorch files.
    const named = extension === '.safetensors' || ['a1111', 'diffusers'].includes(name);
    expect(found.token).toBe(named ? '<cat>' : '<my-cat>');
    expect(found.info).toEqual(extension === '.safetensors' || name === 'a1111' ? concept.info : {});
    expect(writeConcept(original, name, extension)).toEqual(bytes);
  });

  it('chooses by the encoders and by how the file is to be called', async () => {
    const chosen = async (original: Concept, extension?: string) =>
      (await read(writeConcept(original, undefined, extension))).format;
    expect(await chosen(concept)).toBe('diffusers');
    expect(await chosen(concept, '.pt')).toBe('a1111');
    expect(await chosen(concept, '.bin')).toBe('diffusers');
    expect(await chosen(concept, '.concept')).toBe('diffusers');
    expect(await chosen(pair, '.pt')).toBe('sdxl');
    expect(writeConcept(concept, 'diffusers', '.BIN')).toEqual(writeConcept(concept, 'diffusers', '.bin'));
  });

  it('refuses a format without room, and a name that is none', () => {
    expect(() => writeConcept(pair, 'a1111')).toThrow(expect.objectContaining({ code: 'CONCEPT_WIDTH' }));
    expect(() => writeConcept(concept, 'sdxl')).toThrow(expect.objectContaining({ code: 'CONCEPT_WIDTH' }));
    expect(() => writeConcept(concept, 'a1111', '.safetensors')).toThrow(/ending in \.pt or \.bin/);
    expect(() => writeConcept(concept, 'difusers')).toThrow(/Did you mean "diffusers"/);
  });
});

describe('pairConcepts', () => {
  it('joins two files of one word', () => {
    const second = { ...concept, rows: [rows(2, 12)] };
    expect(pairConcepts(concept, second)).toEqual(pair);
    for (const [first, other] of [
      [concept, pair],
      [pair, second],
      [concept, { ...second, rows: [rows(3, 12)] }],
    ] as const)
      expect(() => pairConcepts(first, other)).toThrow(expect.objectContaining({ code: 'CONCEPT_WIDTH' }));
  });
});
