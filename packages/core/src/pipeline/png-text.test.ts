import { expect, test } from 'vitest';
import { parametersText } from './png-text.js';

const settings = {
  prompt: 'a photo of <cat>, asleep',
  negativePrompt: 'a dog',
  steps: 30,
  guidanceScale: 7.5,
  sampler: 'euler-ancestral',
  seed: 41,
  widthPx: 512,
  heightPx: 768,
  model: 'stable-diffusion-v1-5',
} as const;
const FACTS =
  'Steps: 30, Sampler: euler-ancestral, CFG scale: 7.5, Seed: 41, Size: 512x768, Model: stable-diffusion-v1-5';

test('settings of a picture as A1111 writes them', () => {
  expect(parametersText(settings)).toBe(`a photo of <cat>, asleep\nNegative prompt: a dog\n${FACTS}`);
  expect(parametersText({ ...settings, negativePrompt: '' })).toBe(`a photo of <cat>, asleep\n${FACTS}`);
});
