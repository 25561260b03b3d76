import { existsSync } from 'node:fs';
import { beforeAll, describe, test } from 'vitest';
import { decodeLatents, encodeMoments } from '../../packages/core/src/models/autoencoder/model.js';
import { decodeTiny, encodeTiny } from '../../packages/core/src/models/autoencoder/tiny.js';
import * as tf from '../../packages/core/src/tf.js';
import { expectClose, golden, readTensors } from '../support/golden.js';
import {
  channelsLast,
  families,
  loadAutoencoder,
  loadTinyAutoencoder,
  numbers,
  pick,
  tensor,
  useBackend,
} from '../support/models.js';

const BOUND = 1e-4;

beforeAll(() => useBackend());

describe.each(families)('%s', (family) => {
  test('moments and decoded picture', async () => {
    const { params } = await loadAutoencoder(family);
    const file = readTensors(golden(`${family}-golden`, 'vae.safetensors'));
    const { mean, logvar } = encodeMoments(params, channelsLast(tensor(pick(file, 'image'))));
    expectClose(numbers(tf.concat([mean, logvar], -1)), pick(file, 'moments').data, BOUND, 'moments');
    expectClose(
      numbers(decodeLatents(params, channelsLast(tensor(pick(file, 'latent'))))),
      pick(file, 'decoded').data,
      BOUND,
      'decoded',
    );
  });
});

test.runIf(existsSync(golden('tiny-taesd')))('the small autoencoder', async () => {
  const { params } = await loadTinyAutoencoder('tiny-taesd');
  const file = readTensors(golden('tiny-taesd-golden.safetensors'));
  expectClose(
    numbers(encodeTiny(params, channelsLast(tensor(pick(file, 'image'))))),
    pick(file, 'latents').data,
    BOUND,
    'latents',
  );
  expectClose(
    numbers(decodeTiny(params, channelsLast(tensor(pick(file, 'latent'))))),
    pick(file, 'decoded').data,
    BOUND,
    'decoded',
  );
});
