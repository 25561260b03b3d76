import { expect, test } from 'vitest';
import { readClipTextConfig } from './foreign.js';

const read = (json: unknown) => readClipTextConfig(json, 'text_encoder/config.json');

test('the wrong token ids of published files are not read', () => {
  const config = read({
    architectures: ['CLIPTextModel'],
    bos_token_id: 0,
    eos_token_id: 2,
    pad_token_id: 1,
    hidden_size: 768,
    num_attention_heads: 12,
  });
  expect(config).toEqual({
    width: 768,
    heads: 12,
    layers: 12,
    innerWidth: 2048,
    activation: 'quickGelu',
    epsilon: 1e-5,
    vocabSize: 49408,
    positions: 77,
    projectionWidth: undefined,
  });
});

test('a projection belongs to some classes alone', () => {
  expect(read({ architectures: ['CLIPTextModelWithProjection'], projection_dim: 1280 }).projectionWidth).toBe(1280);
  expect(read({ architectures: ['CLIPTextModel'], projection_dim: 1280 }).projectionWidth).toBeUndefined();
  const whole = {
    architectures: ['CLIPModel'],
    projection_dim: 64,
    text_config: { hidden_size: 96, num_attention_heads: 4 },
  };
  expect(read(whole)).toMatchObject({ projectionWidth: 64, width: 96 });
});

test.each([
  ['quick_gelu', 'quickGelu'],
  ['gelu', 'geluExact'],
  ['gelu_pytorch_tanh', 'geluTanh'],
])('%s is %s', (name, activation) => {
  expect(read({ hidden_act: name }).activation).toBe(activation);
});

test.each([
  [{ architectures: ['T5EncoderModel'] }, 'MODEL_UNSUPPORTED'],
  [{ hidden_act: 'relu' }, 'MODEL_UNSUPPORTED'],
  [{ num_attention_heads: 7 }, 'MODEL_CONFIG'],
  [{ hidden_size: 'large' }, 'MODEL_CONFIG'],
])('%j is refused', (json, code) => {
  expect(() => read(json)).toThrowError(expect.objectContaining({ code }));
});
