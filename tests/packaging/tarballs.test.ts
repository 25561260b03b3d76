import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));
/** Below the root's node_modules, so that third-party dependencies resolve while ours come from the tarballs. */
const app = join(root, 'node_modules', '.packaging-test');
const packages = ['core', 'onnx', 'node', 'web', 'tiny-model', 'textual-inversion'];
const tarballs = new Map<string, string>();

const run = (command: string, args: string[], cwd = app) => execFileSync(command, args, { cwd, encoding: 'utf8' });
const nameOf = (folder: string) =>
  (JSON.parse(readFileSync(join(root, 'packages', folder, 'package.json'), 'utf8')) as { name: string }).name;

beforeAll(() => {
  rmSync(app, { recursive: true, force: true });
  mkdirSync(app, { recursive: true });
  writeFileSync(join(app, 'package.json'), JSON.stringify({ name: 'app', private: true }));
  for (const folder of packages) {
    const packed = run(
      'npm',
      ['pack', '--json', '--ignore-scripts', '--pack-destination', app],
      join(root, 'packages', folder),
    );
    const parsed = JSON.parse(packed) as { filename: string }[] | Record<string, { filename: string }>;
    const filename = Object.values(parsed)[0]?.filename ?? '';
    const tarball = join(app, filename);
    tarballs.set(folder, tarball);
    const target = join(app, 'node_modules', nameOf(folder));
    mkdirSync(target, { recursive: true });
    run('tar', ['-xzf', tarball, '-C', target, '--strip-components=1']);
  }
});

afterAll(() => rmSync(app, { recursive: true, force: true }));

describe.each(packages.filter((name) => name !== 'tiny-model'))('the tarball of packages/%s', (folder) => {
  it('passes publint', () => {
    expect(run('npx', ['publint', '--strict', tarballs.get(folder) ?? ''], root)).toContain('All good');
  });

  it('has right types for every way of importing it', () => {
    // The front door's browser half is for bundlers, which is the `internal-resolution-error`-free bundler mode alone.
    expect(() =>
      run('npx', ['attw', tarballs.get(folder) ?? '', '--format', 'ascii', '--no-emoji'], root),
    ).not.toThrow();
  });
});

describe('the front door', () => {
  const verbs = ['evaluate', 'generate', 'invert', 'loadConcept', 'loadModel'];

  it('is imported from an ES module', () => {
    writeFileSync(
      join(app, 'esm.mjs'),
      `import * as ti from 'textual-inversion'; console.log(JSON.stringify(Object.keys(ti)));`,
    );
    const names = JSON.parse(run('node', ['esm.mjs'])) as string[];
    expect(names).toEqual(expect.arrayContaining(verbs));
  });

  it('is required from CommonJS', () => {
    writeFileSync(join(app, 'cjs.cjs'), `console.log(JSON.stringify(Object.keys(require('textual-inversion'))));`);
    const names = JSON.parse(run('node', ['cjs.cjs'])) as string[];
    expect(names).toEqual(expect.arrayContaining(verbs));
  });

  it('types the example of the README', () => {
    writeFileSync(
      join(app, 'example.ts'),
      `import { invert, generate, loadModel } from 'textual-inversion';
const model = await loadModel('tiny');
const concept = await invert({ model, images: ['a.png', 'b.png'], token: '<blob>', initializer: 'monster' });
await concept.save('blob.safetensors');
const [picture] = await generate({ model, concepts: [concept], prompt: 'a photo of <blob> on the beach', seed: 1 });
await picture?.save('blob-beach.png');
// @ts-expect-error a token is a word, not a number
await invert({ model, images: ['a.png'], token: 5, initializer: 'monster' });
`,
    );
    for (const module of ['nodenext', 'esnext']) {
      const resolution = module === 'esnext' ? 'bundler' : 'nodenext';
      const options = ['--noEmit', '--strict', '--skipLibCheck', '--target', 'es2022', '--types', 'node'];
      writeFileSync(join(app, 'package.json'), JSON.stringify({ name: 'app', private: true, type: 'module' }));
      expect(() =>
        run('npx', ['tsc', ...options, '--module', module, '--moduleResolution', resolution, 'example.ts']),
      ).not.toThrow();
    }
  });

  it('runs from the command line', () => {
    const version = (
      JSON.parse(readFileSync(join(root, 'packages/textual-inversion/package.json'), 'utf8')) as { version: string }
    ).version;
    expect(run('node', ['node_modules/textual-inversion/dist/cli.js', '--version']).trim()).toBe(version);
  });
});
