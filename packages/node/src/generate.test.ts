import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type GeneratedPicture, generate } from './generate.js';
import { type LoadedModel, loadModel } from './models.js';
import { readPicture } from './pictures.js';

const folder = mkdtempSync(join(tmpdir(), 'ti-generate-'));
let model: LoadedModel;
let picture: GeneratedPicture | undefined;
beforeAll(async () => {
  model = await loadModel('tiny', { backend: 'wasm' });
  [picture] = await generate({ model, prompt: 'a monster', steps: 1 });
});
afterAll(() => {
  model.dispose();
  rmSync(folder, { recursive: true });
});

it('a picture is saved as a PNG, and enlarged', async () => {
  await picture?.save(join(folder, 'a.PNG'), { scale: 2 });
  expect((await readPicture(join(folder, 'a.PNG'))).shape).toEqual([64, 64, 3]);
});

it.each([
  ['b.jpg', undefined],
  ['b', undefined],
  ['b.png', Number.NaN],
  ['b.png', 1.5],
])('%s enlarged %s times is refused, and nothing is written', async (name, scale) => {
  const before = readdirSync(folder);
  await expect(picture?.save(join(folder, name), { scale })).rejects.toMatchObject({ code: 'OPTION_INVALID' });
  expect(readdirSync(folder)).toEqual(before);
});

it('a model that was disposed of draws no more, and says so', async () => {
  const gone = await loadModel('tiny', { backend: 'wasm' });
  gone.dispose();
  gone.dispose();
  await expect(generate({ model: gone, prompt: 'a monster' })).rejects.toMatchObject({
    code: 'OPTION_INVALID',
    message: expect.stringContaining('disposed') as string,
  });
  await expect(loadModel('tiny', { threads: -1 })).rejects.toMatchObject({ code: 'OPTION_INVALID' });
});
