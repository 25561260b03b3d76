import { existsSync, readdirSync } from 'node:fs';
import { beforeAll, describe, expect, test } from 'vitest';
import { readAutoencoderConfig } from '../../packages/core/src/models/autoencoder/foreign.js';
import { readAutoencoder } from '../../packages/core/src/models/autoencoder/model.js';
import { readClipTextConfig } from '../../packages/core/src/models/clip-text/foreign.js';
import { readClipText } from '../../packages/core/src/models/clip-text/model.js';
import { readUnetConfig } from '../../packages/core/src/models/unet/foreign.js';
import { readUnet } from '../../packages/core/src/models/unet/model.js';
import type { DType, TensorRef } from '../../packages/core/src/platform.js';
import type { Checkpoint } from '../../packages/core/src/weights/checkpoint.js';
import { dryRead } from '../../packages/core/src/weights/load.js';
import type { Scope } from '../../packages/core/src/weights/scope.js';
import { golden } from '../support/golden.js';
import { jsonFile, useBackend } from '../support/models.js';

interface Part {
  config: unknown;
  tensors?: Record<string, [DType, number[]]>;
}

/** Parameters of the published UNets, as their authors count them. */
const UNET_PARAMETERS: Readonly<Record<string, number>> = {
  'stable-diffusion-v1-5': 859_520_964,
  'stable-diffusion-2-1': 865_910_724,
  'stable-diffusion-xl-base-1.0': 2_567_463_684,
};

function reader(name: string, config: unknown): (scope: Scope) => unknown {
  const where = `${name}/config.json`;
  if (name.startsWith('text_encoder')) return (scope) => readClipText(scope, readClipTextConfig(config, where));
  if (name === 'unet') return (scope) => readUnet(scope, readUnetConfig(config, where));
  return (scope) => readAutoencoder(scope, readAutoencoderConfig(config, where));
}

/** A checkpoint that knows shapes alone. */
function shapesOnly(name: string, tensors: Record<string, [DType, number[]]>): Checkpoint {
  const source = { name, size: 0, read: () => Promise.reject(new Error('a dry read reads no numbers')) };
  const refs = Object.entries(tensors).map(([tensor, [dtype, shape]]): [string, TensorRef] => [
    tensor,
    { name: tensor, dtype, shape, source, offset: 0, length: 0 },
  ]);
  return { name, tensors: new Map(refs), files: [name] };
}

beforeAll(() => useBackend('cpu'));

const folder = golden('layouts');
const layouts = existsSync(folder) ? readdirSync(folder) : [];

describe.each(layouts)('%s', (file) => {
  const parts = Object.entries(jsonFile(golden('layouts', file)) as Record<string, Part>);
  test.each(parts.filter(([, { tensors }]) => tensors))(
    '%s: every tensor is taken once',
    (name, { config, tensors = {} }) => {
      const checkpoint = shapesOnly(name, tensors);
      const requests = dryRead(checkpoint, reader(name, config));
      // What is left on purpose: the vocabulary, which stays in its file, and a buffer of counted-up numbers.
      const left = [...checkpoint.tensors.keys()].filter((key) => !requests.some(({ ref }) => ref.name === key));
      expect(left.filter((key) => !/token_embedding\.weight$|position_ids$/.test(key))).toEqual([]);
      const expected = UNET_PARAMETERS[file.replace('.json', '')];
      if (name !== 'unet' || expected === undefined) return;
      const parameters = requests.reduce((sum, { ref }) => sum + ref.shape.reduce((a, b) => a * b, 1), 0);
      expect(parameters).toBe(expected);
    },
  );

  test('a file that lacks a tensor, or has one of another shape or one more, is refused', () => {
    const [name, { config, tensors = {} }] = parts.find(([name]) => name === 'unet') ??
      parts[0] ?? ['', { config: {} }];
    const key = 'conv_out.weight';
    const { [key]: conv, ...others } = tensors;
    if (!conv) throw new Error(`no ${key}`);
    const readWith = (changed: Record<string, [DType, number[]]>) =>
      dryRead(shapesOnly(name, changed), reader(name, config));
    expect(() => readWith(others)).toThrowError(expect.objectContaining({ code: 'WEIGHT_MISSING' }));
    expect(() => readWith({ ...others, [key]: ['F32', [4, 4]] })).toThrowError(
      expect.objectContaining({ code: 'WEIGHT_SHAPE' }),
    );
    expect(() => readWith({ ...tensors, more: conv })).toThrowError(expect.objectContaining({ code: 'WEIGHT_UNREAD' }));
  });
});
