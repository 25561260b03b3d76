import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { createBackend } from './backends.js';

const util = createRequire(import.meta.url)('node:util') as Record<string, unknown>;
const home = process.cwd();
let project = '';
beforeEach(() => {
  project = mkdtempSync(join(tmpdir(), 'ti-backends-'));
  process.chdir(project);
});
afterEach(() => {
  process.chdir(home);
  rmSync(project, { recursive: true });
});

/** An addon in the project at hand. */
function install(name: string, code: string): void {
  const folder = join(project, 'node_modules', name);
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ name, version: '0.0.0' }));
  writeFileSync(join(folder, 'index.js'), code);
}

it('finds the addon of the project at hand, and gives it back what Node 23 removed', async () => {
  const { isArray, isNullOrUndefined } = util;
  Reflect.deleteProperty(util, 'isArray');
  Reflect.deleteProperty(util, 'isNullOrUndefined');
  const says = "const util = require('util'); throw new Error(`${util.isNullOrUndefined(null)} ${util.isArray([])}`);";
  install('@tensorflow/tfjs-node-gpu', says);
  try {
    await expect(createBackend('tensorflow')).rejects.toMatchObject({
      code: 'BACKEND_UNAVAILABLE',
      message: expect.stringContaining('found true true') as string,
    });
  } finally {
    Object.assign(util, { isArray, isNullOrUndefined });
  }
});
