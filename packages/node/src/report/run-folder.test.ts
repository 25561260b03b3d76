import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { fileName, RunFolder } from './run-folder.js';

let path = '';
beforeEach(() => void (path = mkdtempSync(join(tmpdir(), 'ti-run-'))));
afterEach(() => rmSync(path, { recursive: true }));

const bytes = (text: string) => new TextEncoder().encode(text);

describe('the folder of a run', () => {
  it('goes on from the newest checkpoint, past what is damaged beside it', async () => {
    const first = await RunFolder.open(path, '<cat>', false);
    for (const step of [1, 2, 3]) await first.addStep({ step, loss: 0.5 });
    await first.saveCheckpoint(bytes('two'), 3);
    writeFileSync(join(path, 'checkpoints/losses.json'), '{bad');
    mkdirSync(join(path, 'checkpoints/step-000009.safetensors'));
    mkdirSync(join(path, 'previews'));
    writeFileSync(join(path, 'previews/step-000002.png'), 'no picture');
    const next = await RunFolder.open(path, '<cat>', true);
    expect(next.checkpoint).toBe(join(path, 'checkpoints/step-000003.safetensors'));
  });

  it('is cleared of another run with the first step, and not before', async () => {
    const old = await RunFolder.open(path, '<cat>', false);
    await old.addStep({ step: 1, loss: 1 });
    await old.saveCheckpoint(bytes('old'), 1);
    for (const name of ['cat.safetensors', 'previews.txt']) writeFileSync(join(path, name), name);
    const left = () => readdirSync(path, { recursive: true, encoding: 'utf8' }).toSorted();
    const before = left();
    const run = await RunFolder.open(path, '<cat>', false);
    expect(left()).toEqual(before);
    expect(run.hasBegun).toBe(false);
    await run.addStep({ step: 1, loss: 1 });
    // A word that was learned before would be taken for this one.
    expect(left()).toEqual(['checkpoints', 'previews.txt']);
  });
});

describe('the name of a file', () => {
  it.each([
    ['<my-cat>', 'my-cat'],
    ['猫', '猫'],
    ['..', 'concept'],
    ['😀', 'concept'],
    ['con', 'concept-con'],
    ['.hidden', 'hidden'],
  ])('%s -> %s', (token, name) => {
    expect(fileName(token)).toBe(name);
  });

  it('fits every file system', () => {
    expect(fileName('x'.repeat(300))).toBe('x'.repeat(100));
    expect(Buffer.byteLength(fileName('猫'.repeat(300)))).toBe(99);
  });
});
