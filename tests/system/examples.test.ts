import { execFile } from 'node:child_process';
import { mkdirSync, readFileSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { decode } from 'fast-png';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { everythingIn, root, run, scratchFolder } from './command-line.js';

const scratch = scratchFolder();
const node = (...args: string[]) => promisify(execFile)(process.execPath, args, { cwd: scratch.path });
const example = (name: string) => join(root, 'examples', `${name}.mjs`);

/** What the head of an example says to do before it, with fewer steps. */
const train = (set: string, ...more: string[]) =>
  run(
    [
      ...`train --images examples/concepts/${set} --token <${set}> --out out/${set} --steps 2 --batch 1`.split(' '),
      ...more,
    ],
    { cwd: scratch.path },
  );

beforeAll(async () => {
  mkdirSync(join(scratch.path, 'examples'));
  symlinkSync(join(root, 'examples/concepts'), join(scratch.path, 'examples/concepts'), 'junction');
  expect(await train('foxi', '--init', 'monster')).toMatchObject({ status: 0 });
  expect(await train('candy', '--init', 'style', '--property', 'style')).toMatchObject({ status: 0 });
}, 300_000);
afterAll(() => scratch.remove());

const examples: [string, string[], string, string[]][] = [
  ['learn-a-word', ['2'], 'tiny on onnx-cpu', ['out/foxi.safetensors', 'out/foxi-beach-1.png', 'out/foxi-beach-4.png']],
  ['stop-and-go-on', [], 'learned in 60 steps', ['out/checkpoint.safetensors']],
  ['measure-and-convert', ['1'], 'a photo of two {}', ['out/foxi.pt']],
];

it.each(examples)('%s runs as it says', async (name, args, says, leaves) => {
  const { stdout, stderr } = await node(example(name), ...args);
  expect(stderr).toBe('');
  expect(stdout).toContain(says);
  expect(everythingIn(scratch.path)).toEqual(expect.arrayContaining(leaves));
});

it('two-words draws both in one picture, which says so', async () => {
  expect(await node(example('two-words'))).toEqual({ stdout: '', stderr: '' });
  const { width, height, text } = decode(readFileSync(join(scratch.path, 'out/foxi-candy.png')));
  expect([width, height]).toEqual([256, 256]);
  expect(text?.['parameters']).toBe(
    'a <candy> of <foxi>\nSteps: 25, Sampler: pndm, CFG scale: 2.25, Seed: 3, Size: 32x32, Model: tiny',
  );
});

it('learn-and-draw, which npm start runs, draws a grid', async () => {
  const options = {
    images: 'examples/concepts/foxi',
    token: '<foxi>',
    initializer: 'monster',
    kind: 'object',
    out: 'out/drawn',
    steps: 2,
  };
  const call = `import { learnAndDraw } from ${JSON.stringify(example('learn-and-draw'))}; await learnAndDraw(${JSON.stringify(options)});`;
  const { stderr } = await node('--input-type=module', '--eval', call);
  expect(stderr).toBe('');
  expect(everythingIn(scratch.path)).toEqual(
    expect.arrayContaining(['out/drawn/grid.png', 'out/drawn/report.html', 'out/drawn/foxi.safetensors']),
  );
});
