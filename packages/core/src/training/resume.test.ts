import { describe, expect, test } from 'vitest';
import { memoryFile } from '../../../../tests/support/memory.js';
import type { HostTensor } from '../platform.js';
import { Generator } from '../random.js';
import { readSafetensors, writeSafetensors } from '../weights/safetensors.js';
import { type CheckpointFacts, fingerprint, readCheckpoint, writeCheckpoint } from './resume.js';
import type { TrainingState } from './train.js';

const facts: CheckpointFacts = {
  token: '<it>',
  model: 'tiny',
  settings: { seed: 3, crop: 'center', vectors: undefined },
};
const host = (...values: number[]) => ({ data: Float32Array.from(values), shape: [1, values.length] });

function middle(): TrainingState {
  const generator = new Generator(3);
  generator.normal(5); // leaves the second of a pair
  return {
    step: 7,
    rows: [host(0.1, -2), host(1e-30, 3, 4)],
    optimizer: [
      { step: 7, first: Float32Array.of(1, 2), second: Float32Array.of(3, 4) },
      { step: 7, first: Float32Array.of(5, 6, 7), second: Float32Array.of(8, 9, 10) },
    ],
    generator,
    queue: [2, 0],
  };
}
const start = [host(1, 2), host(3, 4, 5)];
const written = () => writeCheckpoint(middle(), start, facts);
const read = (bytes: Uint8Array, wanted = facts) => readCheckpoint(memoryFile('run/7.safetensors', bytes), wanted);

/** The same checkpoint with some of its texts or tensors changed. */
async function changed(
  texts: Record<string, string>,
  tensors: Record<string, HostTensor | undefined> = {},
): Promise<Uint8Array> {
  const file = await readSafetensors(memoryFile('', written()));
  const all: Record<string, HostTensor> = {};
  for (const [name, { source, offset, length, shape }] of file.tensors) {
    const bytes = await source.read(offset, length);
    all[name] = { data: new Float32Array(bytes.slice().buffer), shape: [...shape] };
  }
  for (const [name, tensor] of Object.entries(tensors)) {
    if (tensor) all[name] = tensor;
    else delete all[name];
  }
  return writeSafetensors(all, { ...file.metadata, ...texts });
}

describe('checkpoints', () => {
  test('everything comes back, and writing it again gives the same bytes', async () => {
    const { state, start: first } = await read(written());
    const expected = middle();
    expect(first).toEqual(start);
    expect({ ...state, generator: state.generator.state() }).toEqual({
      ...expected,
      generator: expected.generator.state(),
    });
    expect(state.generator.normal(40)).toEqual(expected.generator.normal(40));
    expect(writeCheckpoint((await read(written())).state, first, facts)).toEqual(written());
  });

  test.each<[string, Partial<CheckpointFacts>]>([
    ['token', { token: '<that>' }],
    ['model', { model: 'other' }],
    ['seed', { settings: { ...facts.settings, seed: 4 } }],
    ['vectors', { settings: { ...facts.settings, vectors: 2 } }],
  ])('of another %s', async (name, other) => {
    const outcome = read(written(), { ...facts, ...other });
    await expect(outcome).rejects.toMatchObject({ code: 'CHECKPOINT_MISMATCH', details: { different: [name] } });
  });

  test.each<[string, () => Promise<Uint8Array>]>([
    ['an empty file', async () => new Uint8Array()],
    ['a file that was cut', async () => written().slice(0, -1)],
    ['another file', async () => writeSafetensors({ a: host(1) })],
    ['a step that is none', () => changed({ step: '-1' })],
    ['a step that is no number', () => changed({ step: 'seven' })],
    ['no updates', () => changed({ updates: '{}' })],
    ['a queue of words', () => changed({ queue: '["a"]' })],
    ['settings that are no JSON', () => changed({ settings: '{' })],
    ['a generator that is too short', () => changed({ generator: '{"twister":[1,2],"spareNormal":null}' })],
    ['no generator', () => changed({ generator: 'null' })],
    ['no rows', () => changed({}, { 'rows.0': undefined })],
    ['moments of another shape', () => changed({}, { 'first.1': host(1) })],
    ['a start of another shape', () => changed({}, { 'start.0': host(1) })],
    ['numbers that are not finite', () => changed({}, { 'second.0': host(1, Number.NaN) })],
  ])('%s is refused', async (_, bytes) => {
    await expect(read(await bytes())).rejects.toMatchObject({
      code: 'CHECKPOINT_CORRUPT',
      message: expect.stringContaining('run/7.safetensors'),
    });
  });

  test.each([
    ['a spare normal that is a word', (state: object) => ({ ...state, spareNormal: 'x' })],
    ['words in the twister', (state: object) => ({ ...state, twister: new Array(625).fill('x') })],
  ])('a generator with %s is refused', async (_, spoil) => {
    const generator = JSON.stringify(spoil(middle().generator.state()));
    await expect(read(await changed({ generator }))).rejects.toMatchObject({ code: 'CHECKPOINT_CORRUPT' });
  });
});

describe('fingerprint', () => {
  test('is short, stable, and another for other bytes or words', () => {
    const bytes = Uint8Array.of(1, 2, 3);
    expect(fingerprint([bytes, ['a {}']])).toBe(fingerprint([Uint8Array.of(1, 2, 3), ['a {}']]));
    expect(fingerprint([bytes])).toMatch(/^[0-9a-f]{8}$/);
    expect(fingerprint([bytes])).not.toBe(fingerprint([Uint8Array.of(1, 2, 4)]));
    expect(fingerprint([['a {}']])).not.toBe(fingerprint([['the {}']]));
    // FNV-1a's own example.
    expect(fingerprint([new TextEncoder().encode('foobar')])).toBe('bf9cf968');
  });
});
