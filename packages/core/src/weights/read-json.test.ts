import { expect, it } from 'vitest';
import type { FileTree } from '../platform.js';
import { readJson } from './checkpoint.js';

const treeOf = (text: string): FileTree => {
  const bytes = new TextEncoder().encode(text);
  const source = { name: 'config.json', size: bytes.length, read: async () => bytes };
  return {
    name: 'model',
    list: async () => ['config.json'],
    open: async (path) => (path === source.name ? source : undefined),
  };
};

it('takes the infinities that Python writes for null', async () => {
  const json = '{"lambda_min_clipped": -Infinity, "other": NaN}';
  expect(await readJson(treeOf(json), 'config.json')).toEqual({ lambda_min_clipped: null, other: null });
});

it('says which file is missing or no JSON', async () => {
  await expect(readJson(treeOf('{'), 'config.json')).rejects.toMatchObject({ code: 'MODEL_CONFIG' });
  await expect(readJson(treeOf('{}'), 'other.json')).rejects.toMatchObject({ code: 'MODEL_MISSING_FILE' });
});
