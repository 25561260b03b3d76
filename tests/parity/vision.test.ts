import { beforeAll, test } from 'vitest';
import { encodeImage } from '../../packages/core/src/models/clip-vision/model.js';
import { expectClose, golden, readTensors } from '../support/golden.js';
import { channelsLast, loadClipVision, numbers, pick, tensor, useBackend } from '../support/models.js';

const BOUND = 1e-4;

beforeAll(() => useBackend());

test('CLIP picture encoder with projection', async () => {
  const { params } = await loadClipVision('tiny-clip-vision');
  const file = readTensors(golden('tiny-clip-vision-golden.safetensors'));
  const { embedding, last } = encodeImage(params, channelsLast(tensor(pick(file, 'pixels'))));
  expectClose(numbers(last), pick(file, 'last_hidden_state').data, BOUND, 'last hidden state');
  expectClose(numbers(embedding), pick(file, 'image_embeds').data, BOUND, 'embedding');
});
