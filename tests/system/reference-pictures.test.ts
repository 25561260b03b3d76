import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type GenerateOptions, generate, type LoadedModel, loadModel } from '../../packages/node/src/index.js';

/** Drawn by diffusers with the embedded model's weights: `scripts/tiny-model/reference.py`. */
const file = (name: string) => fileURLToPath(new URL(`../golden/tiny-model/${name}`, import.meta.url));
const cases: ({ file: string } & Omit<GenerateOptions, 'model'>)[] = JSON.parse(
  readFileSync(file('pictures.json'), 'utf8'),
);

describe.each(['wasm', 'onnx-cpu'] as const)('the embedded model on %s', (backend) => {
  let model: LoadedModel;
  beforeAll(async () => void (model = await loadModel('tiny', { backend })));
  afterAll(() => model.dispose());

  test.each(cases)(
    'draws what diffusers draws: $prompt, $sampler',
    async ({ file: name, ...options }) => {
      const expected = await sharp(file(name)).removeAlpha().raw().toBuffer();
      const [picture] = await generate({ ...options, model });
      expect(picture?.pixels.data.length).toBe(expected.length);
      const differences = Array.from(expected, (value, i) => Math.abs(value - (picture?.pixels.data[i] ?? Number.NaN)));
      expect(Math.max(...differences)).toBeLessThanOrEqual(2);
    },
    120_000,
  );
});
