import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import ndarray from 'ndarray';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { codec, readPicture } from '../../packages/node/src/index.js';
import { golden } from '../support/golden.js';
import { families } from '../support/models.js';
import { everythingIn, run, scratchFolder, start, until } from './command-line.js';

const scratch = scratchFolder();
const at = (...path: string[]) => join(scratch.path, ...path);
const model = golden(families[0] ?? '');
const STEPS = 60;

beforeAll(async () => {
  mkdirSync(at('images'));
  const picture = ndarray(
    new Uint8Array(16 * 16 * 3).map((_, i) => (i * 7919) % 256),
    [16, 16, 3],
  );
  writeFileSync(at('images/a.png'), await codec.encodePng(picture));
});
afterAll(() => scratch.remove());

const train = (out: string, ...more: string[]) => [
  ...`train --token <new> --init random --batch 1 --steps ${STEPS} --preview-every 0 --checkpoint-every 5`.split(' '),
  '--model',
  model,
  '--images',
  at('images'),
  '--out',
  at(out),
  ...more,
];
const checkpoints = (out: string) =>
  existsSync(at(out, 'checkpoints'))
    ? readdirSync(at(out, 'checkpoints')).filter((name) => name.endsWith('.safetensors') && !name.startsWith('.'))
    : [];
const concept = (out: string) => readFileSync(at(out, 'new.safetensors'));

describe('a training', () => {
  let unbroken: Buffer;
  beforeAll(async () => {
    const { status, stdout, stderr } = await run(train('unbroken'));
    expect(stderr).toContain(`Learning ${STEPS}/${STEPS}`);
    expect(stdout).toContain('Report');
    expect(status).toBe(0);
    unbroken = concept('unbroken');
  }, 300_000);

  it('reads captions beside the pictures, unless it is told not to', async () => {
    writeFileSync(at('images/a.txt'), 'a photo of {} among <dots>');
    try {
      const { stderr } = await run(train('captions', '--steps', '1'));
      expect(stderr).toContain('Captions: 1 of 1 pictures have one');
      expect(readFileSync(at('captions/report.html'), 'utf8')).toContain(
        'a photo of &#60;new&#62; among &#60;dots&#62;',
      );
      expect((await run(train('no-captions', '--steps', '1', '--no-captions'))).stderr).not.toContain('Captions');
      expect(concept('no-captions')).not.toEqual(concept('captions'));
    } finally {
      rmSync(at('images/a.txt'));
    }
  }, 120_000);

  it('leaves a concept, checkpoints, previews, a plot, and a page that needs no network', () => {
    expect(everythingIn(at('unbroken'))).toEqual(
      expect.arrayContaining([
        'checkpoints',
        'loss.svg',
        'new.safetensors',
        'previews',
        'previews/last.png',
        'report.html',
      ]),
    );
    const html = readFileSync(at('unbroken/report.html'), 'utf8');
    expect(html).not.toMatch(/(?:src|href)="(?!data:)|@import|url\(/);
    expect(html).toContain('&#60;new&#62;'); // the word is text, not a tag
    expect(html).not.toContain('<new>');
  });

  it('shows what it is asked to show, and learns in sentences and a size that are given', async () => {
    const shown = '--preview-prompt a|{}|on|the|moon --preview-count 2 --steps 1 --size 8'.split(' ');
    const args = train('shown', ...shown.map((part) => part.replaceAll('|', ' ')), '--template', 'one {}', 'two {}');
    expect((await run(args)).status).toBe(0);
    const html = readFileSync(at('shown/report.html'), 'utf8');
    expect(html).toContain('a &#60;new&#62; on the moon');
    expect(html).toContain('[&#34;one {}&#34;,&#34;two {}&#34;]');
    const preview = await readPicture(at('shown/previews/last.png'));
    const [height = 0, width = 0] = preview.shape;
    expect(width / height).toBeCloseTo(2, 0);
    // Without the one or the other the same call learns something else.
    const without = [
      ['all-sizes', '--template', 'one {}', 'two {}'],
      ['all-sentences', '--size', '8'],
    ] as const;
    for (const [out, ...given] of without) {
      expect((await run(train(out, '--steps', '1', '--preview-count', '1', ...given))).status).toBe(0);
      expect(concept('shown')).not.toEqual(concept(out));
    }
  });

  it('is not ended by previews and a report that cannot be written', async () => {
    mkdirSync(at('blocked/report.html'), { recursive: true });
    writeFileSync(at('blocked/previews'), 'a file where the folder would be');
    const { status, stderr, stdout } = await run(train('blocked', '--overwrite', '--preview-every', '20'));
    expect(stderr).toContain('warning: The preview after step 20 failed: ');
    expect(stderr).toContain('warning: The report failed: ');
    expect(stdout).toMatch(/Preview +none/);
    expect(status).toBe(0);
    expect(concept('blocked').equals(unbroken)).toBe(true);
  });

  it('says to a program that it was stopped', async () => {
    const { child, outcome } = start(train('told', '--json'));
    await until(() => checkpoints('told').length >= 1);
    child.kill('SIGINT');
    const { status, stderr } = await outcome;
    expect(status).toBe(130);
    expect(JSON.parse(stderr.trim().split('\n').at(-1) ?? '')).toMatchObject({ error: { code: 'ABORTED' } });
  });

  it('gives the same bytes when it is done again', async () => {
    expect((await run(train('again'))).status).toBe(0);
    expect(concept('again').equals(unbroken)).toBe(true);
  });

  it('that Ctrl-C stopped saves, says how to go on, and ends in the same bytes', async () => {
    const { child, outcome } = start(train('stopped'));
    await until(() => checkpoints('stopped').length >= 2);
    child.kill('SIGINT');
    const { status, stderr } = await outcome;
    expect(status).toBe(130);
    expect(stderr).toContain('--resume');
    expect(existsSync(at('stopped/new.safetensors'))).toBe(false);
    expect(existsSync(at('stopped/report.html'))).toBe(true);
    expect(checkpoints('stopped').length).toBeLessThan(STEPS / 5);

    const resumed = await run(train('stopped', '--resume'));
    expect(resumed.status).toBe(0);
    expect(concept('stopped').equals(unbroken)).toBe(true);
    const { length } = JSON.parse(readFileSync(at('stopped/checkpoints/losses.json'), 'utf8')) as unknown[];
    expect(length).toBe(STEPS);
  });

  it('that was stopped twice leaves at once with whole checkpoints, and ends in the same bytes', async () => {
    const { child, outcome } = start(train('left'));
    await until(() => checkpoints('left').length >= 2);
    child.kill('SIGINT');
    child.kill('SIGINT');
    expect((await outcome).status).toBe(130);
    expect(existsSync(at('left/new.safetensors'))).toBe(false);
    for (const name of checkpoints('left'))
      expect((await run(['inspect', '--json', at('left/checkpoints', name)])).status).toBe(0);

    expect((await run(train('left', '--resume'))).status).toBe(0);
    expect(concept('left').equals(unbroken)).toBe(true);
  });

  it('that was killed leaves whole checkpoints, and ends in the same bytes', async () => {
    for (let round = 0; round < 3; round++) {
      const { child, outcome } = start(train('killed', '--checkpoint-every', '1', '--resume'));
      const before = checkpoints('killed').length;
      await until(() => checkpoints('killed').length >= before + 3);
      child.kill('SIGKILL');
      expect((await outcome).status).toBe(137);
      for (const name of checkpoints('killed')) {
        const inspected = await run(['inspect', '--json', at('killed/checkpoints', name)]);
        expect(inspected.status).toBe(0);
      }
    }
    expect((await run(train('killed', '--checkpoint-every', '1', '--resume'))).status).toBe(0);
    expect(concept('killed').equals(unbroken)).toBe(true);
  });

  it('does not go on with other settings', async () => {
    cpSync(at('unbroken'), at('other'), { recursive: true });
    const { status, stderr } = await run(train('other', '--resume', '--lr', '0.5'));
    expect(stderr).toContain('error CHECKPOINT_MISMATCH: ');
    expect(stderr).toContain('learningRate');
    expect(status).toBe(2);
  });

  it('does not leave checkpoints of the run it replaces', async () => {
    cpSync(at('unbroken'), at('replaced'), { recursive: true });
    expect((await run(train('replaced', '--overwrite', '--steps', '10'))).status).toBe(0);
    expect(checkpoints('replaced')).toEqual(['step-000005.safetensors', 'step-000010.safetensors']);
  });
});
