import { describe, expect, test } from 'vitest';
import { timestepEmbedding } from '../../packages/core/src/models/unet/embeddings.js';
import { denoise } from '../../packages/core/src/models/unet/model.js';
import { expectClose, golden, readTensors } from '../support/golden.js';
import { channelsLast, families, loadUnet, numbers, pick, sizesInput, tensor, useBackend } from '../support/models.js';

const BOUND = 1e-4;

describe.each(families)('%s', (family) => {
  // The backend that computes in plain JavaScript shows that no number depends on another's shortcuts.
  test.each(['cpu', process.env['TI_BACKEND'] ?? 'wasm'])('output and every tap, on %s', async (backend) => {
    await useBackend(backend);
    const { config, params } = await loadUnet(family);
    const file = readTensors(golden(`${family}-golden`, 'unet.safetensors'));
    const untapped = new Set([...file.keys()].filter((name) => name.startsWith('tap.')));
    expect(untapped.size).toBeGreaterThan(0);
    const timesteps = pick(file, 'timesteps');
    const output = denoise(
      params,
      {
        sample: channelsLast(tensor(pick(file, 'sample'))),
        time: tensor(timestepEmbedding(timesteps.data, config)),
        context: tensor(pick(file, 'context')),
        ...(config.addition ? { pooled: tensor(pick(file, 'pooled')) } : {}),
        ...sizesInput(config, file.get('time_ids'), timesteps.data.length),
      },
      {
        tap: (name, x) => {
          const expected = file.get(`tap.${name}`);
          if (expected && untapped.delete(`tap.${name}`)) expectClose(numbers(x), expected.data, BOUND, name);
        },
      },
    );
    expectClose(numbers(output), pick(file, 'output').data, BOUND, 'output');
    expect([...untapped]).toEqual([]);
  });
});
