import { expect, it } from 'vitest';
import type { FileTree } from '../platform.js';
import { HINTS_FILE, readHints } from './model-hints.js';

const treeWith = (json?: unknown): FileTree => {
  const bytes = new TextEncoder().encode(JSON.stringify(json));
  const source = { name: HINTS_FILE, size: bytes.length, read: async () => bytes };
  return {
    name: 'model',
    list: async () => [HINTS_FILE],
    open: async (path) => (json !== undefined && path === HINTS_FILE ? source : undefined),
  };
};

it('reads what a model advises, and nothing where it advises nothing', async () => {
  const hints = {
    steps: 300,
    batchSize: 4,
    learningRate: 0.005,
    learningRateShape: 'linear',
    guidanceScale: 5,
    templates: { object: ['a photo of {}'] },
  };
  expect(await readHints(treeWith(hints))).toEqual(hints);
  expect(await readHints(treeWith())).toEqual({});
  expect(await readHints(treeWith({}))).toEqual({ templates: {} });
});

it.each([
  ['steps', { steps: 1.5 }],
  ['guidanceScale', { guidanceScale: 0 }],
  ['learningRate', { learningRate: 'fast' }],
  ['learningRateShape', { learningRateShape: 'downhill' }],
  ['templates.object', { templates: { object: ['a photo'] } }],
  ['object', []],
])('refuses advice that is none: %s', async (says, json) => {
  const message = expect.stringContaining(says) as string;
  await expect(readHints(treeWith(json))).rejects.toMatchObject({ code: 'MODEL_CONFIG', message });
});
