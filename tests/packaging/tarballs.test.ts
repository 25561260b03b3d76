import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { isBuiltin } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build, createServer, preview } from 'vite';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startBrowser } from '../browser/support/browsers.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
/** Below the root's node_modules, so that third-party dependencies resolve while ours come from the tarballs. */
const app = join(root, 'node_modules', '.packaging-test');
const packages = ['core', 'onnx', 'node', 'web', 'tiny-model', 'textual-inversion'];
const tarballs = new Map<string, string>();

function run(command: string, args: string[], cwd = app): string {
  const { status, stdout, stderr } = spawnSync(command, args, { cwd, encoding: 'utf8' });
  if (status !== 0) throw new Error(`${command} ${args.join(' ')} gave ${status}:\n${stdout}\n${stderr}`);
  return stdout;
}
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

  it('declares what its files import, and nothing else', () => {
    const inside = join(app, 'node_modules', nameOf(folder));
    const { dependencies, optionalDependencies, peerDependencies, peerDependenciesMeta } = JSON.parse(
      readFileSync(join(inside, 'package.json'), 'utf8'),
    ) as Record<string, Record<string, string> | undefined>;
    const files = readdirSync(inside, { recursive: true, encoding: 'utf8' });
    const imported = files
      .filter((name) => /^(dist|bin)\b.*\.[cm]?[jt]s$/.test(name))
      .flatMap((name) => [
        ...readFileSync(join(inside, name), 'utf8').matchAll(
          /(?:\bfrom|\bimport|\brequire|\bresolve)\s*\(?\s*["']((?:@[\w.-]+\/)?[\w-][\w.-]*)/g,
        ),
      ])
      .map(([, name = '']) => name)
      .filter((name) => !isBuiltin(name) && name !== 'node');
    const may = { ...dependencies, ...optionalDependencies, ...peerDependencies };
    expect([...new Set(imported)].filter((name) => !(name in may))).toEqual([]);
    const needed = Object.keys({ ...dependencies, ...optionalDependencies });
    expect(needed.filter((name) => !imported.includes(name))).toEqual([]);
    for (const name of Object.keys(peerDependencies ?? {})) expect(peerDependenciesMeta).toHaveProperty(name);
  });

  it('has right types for every way of importing it', () => {
    // `cli` is run, not imported, and `assets` is a script for the build of a page.
    const args = [
      '--profile',
      'node16',
      '--format',
      'ascii',
      '--no-emoji',
      '--exclude-entrypoints',
      'cli',
      'assets',
      'package.json',
    ];
    expect(run('npx', ['attw', tarballs.get(folder) ?? '', ...args], root)).toContain('OK (ESM)');
  });
});

describe('the front door', () => {
  const verbs = ['evaluate', 'generate', 'invert', 'loadConcept', 'loadModel'];

  // Loads the embedded model too: its engine's threads start from a file of the package. That they end is shown by the end of the process.
  const useIt = `ti.loadModel('tiny').then(({ backend }) => console.log(JSON.stringify([backend.name, ...Object.keys(ti)])));`;

  it('is imported from an ES module, and its engine starts', () => {
    writeFileSync(join(app, 'esm.mjs'), `import * as ti from 'textual-inversion'; ${useIt}`);
    const [engine, ...names] = JSON.parse(run('node', ['esm.mjs'])) as string[];
    expect(engine).toBe('onnx-cpu');
    expect(names).toEqual(expect.arrayContaining(verbs));
  });

  it('is required from CommonJS, and its engine starts', () => {
    writeFileSync(join(app, 'cjs.cjs'), `const ti = require('textual-inversion'); ${useIt}`);
    const [engine, ...names] = JSON.parse(run('node', ['cjs.cjs'])) as string[];
    expect(engine).toBe('onnx-cpu');
    expect(names).toEqual(expect.arrayContaining(verbs));
  });

  const compile = (file: string, source: string, module: string, resolution: string) => {
    writeFileSync(join(app, 'package.json'), JSON.stringify({ name: 'app', private: true, type: 'module' }));
    writeFileSync(join(app, file), source);
    const options = ['--noEmit', '--strict', '--skipLibCheck', '--target', 'es2022', '--types', 'node'];
    return run('npx', ['tsc', ...options, '--module', module, '--moduleResolution', resolution, file]);
  };

  it('has declarations that are valid by themselves', () => {
    writeFileSync(
      join(app, 'all.ts'),
      `export * from 'textual-inversion'; export * as web from '@textual-inversion/web';`,
    );
    const options = ['--noEmit', '--strict', '--target', 'es2022', '--module', 'nodenext', '--types', 'node'];
    const lib = ['--lib', 'es2023,dom,dom.iterable,dom.asynciterable'];
    const { stdout } = spawnSync('npx', ['tsc', ...options, ...lib, 'all.ts'], { cwd: app, encoding: 'utf8' });
    // Those of others are theirs: @tensorflow/tfjs-core names a type that it does not declare.
    expect(stdout.split('\n').filter((line) => /textual-inversion[\\/]|^all\.ts/.test(line))).toEqual([]);
  });

  it('types the example of the README', () => {
    const source = `import { invert, generate, loadModel } from 'textual-inversion';
const model = await loadModel('tiny');
const concept = await invert({ model, images: ['a.png', 'b.png'], token: '<blob>', initializer: 'monster' });
await concept.save('blob.safetensors');
const [picture] = await generate({ model, concepts: [concept], prompt: 'a photo of <blob> on the beach', seed: 1 });
await picture?.save('blob-beach.png');
// @ts-expect-error the types must refuse this: a token is a word, not a number
await invert({ model, images: ['a.png'], token: 5, initializer: 'monster' });
`;
    expect(compile('example.ts', source, 'nodenext', 'nodenext')).toBe('');
  });

  it('has the browser behind the same name for a bundler', () => {
    const source = `import * as ti from 'textual-inversion';
import * as web from '@textual-inversion/web';
const same: typeof web = ti;
console.log(same);
`;
    expect(compile('page.ts', source, 'esnext', 'bundler')).toBe('');
  });

  it('runs from the command line, and so does this repository, where npm links the command before anything is built', () => {
    const manifest = join(app, 'node_modules/textual-inversion/package.json');
    const { version, bin } = JSON.parse(readFileSync(manifest, 'utf8')) as {
      version: string;
      bin: Record<string, string>;
    };
    const command = join('node_modules/textual-inversion', bin['textual-inversion'] ?? '');
    expect(run('node', [command, '--version']).trim()).toBe(version);
    expect(run('npx', ['--no-install', 'textual-inversion', '--version'], root).trim()).toBe(version);
  });
});

describe('a page made with Vite', () => {
  const page = join(app, 'page');

  it('has its assets copied by the command, as npm links it', () => {
    run('npm', ['rebuild', '--ignore-scripts']); // links commands
    const folder = join(page, 'public/textual-inversion');
    const command = join(app, 'node_modules/.bin/textual-inversion-web-assets');
    expect(run(command, [folder])).toMatch(/^\d+ files, [\d.]+ MiB in /);
    expect(readdirSync(folder)).toContain('ort-wasm-simd-threaded.wasm');
    expect(Object.keys(JSON.parse(readFileSync(join(folder, 'tiny/files.json'), 'utf8')) as object)).toContain(
      'unet/config.json',
    );
    expect(() => run(command, [])).toThrow(/gave 2:\s+usage:/);
  });

  it('learns a word with the configuration of docs/browser.md, built and while it is developed', async () => {
    const [, configuration = ''] =
      /```js\n(.*defineConfig.*?)```/s.exec(readFileSync(join(root, 'docs/browser.md'), 'utf8')) ?? [];
    writeFileSync(join(page, 'vite.config.js'), configuration);
    writeFileSync(join(page, 'index.html'), '<!doctype html><script type="module" src="./main.js"></script>');
    writeFileSync(
      join(page, 'main.js'),
      `import { invert, loadModel } from '@textual-inversion/web';
async function learn(backend) {
  const model = await loadModel('tiny', { backend });
  const images = [new ImageData(32, 32)];
  const { token } = await invert({ model, images, token: '<mine>', initializer: 'monster', steps: 5, batchSize: 1 });
  return [model.backend.name, token];
}
globalThis.learn = learn;`,
    );
    const inline = { root: page, configFile: join(page, 'vite.config.js'), logLevel: 'error' } as const;
    await build(inline);
    const assets = readdirSync(join(page, 'dist/assets'));
    expect(
      assets.filter((name) => name.endsWith('.wasm')),
      'WebAssembly in the bundle',
    ).toEqual([]);
    const built = await preview({ ...inline, preview: { port: 0 } });
    const developed = await createServer({ ...inline, server: { port: 0 } });
    await developed.listen();
    const browser = await startBrowser();
    try {
      for (const { resolvedUrls } of [built, developed]) {
        const tab = await browser.newPage();
        await tab.goto(resolvedUrls?.local[0] ?? '');
        await tab.waitForFunction(() => 'learn' in globalThis, undefined, { timeout: 120_000 });
        const learned = (backend: string) =>
          tab.evaluate(
            (name): unknown => (Reflect.get(globalThis, 'learn') as (name: string) => unknown)(name),
            backend,
          );
        expect(await learned('onnx-wasm')).toEqual(['onnx-wasm', '<mine>']);
        expect(await learned('wasm')).toEqual(['wasm', '<mine>']);
        expect(await tab.evaluate(() => globalThis.crossOriginIsolated)).toBe(true);
      }
    } finally {
      await browser.close();
      await developed.close();
      await built.close();
    }
  });
});
