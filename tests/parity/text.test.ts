import { beforeAll, describe, test } from 'vitest';
import { injectConcept } from '../../packages/core/src/concepts/inject.js';
import { encodeText } from '../../packages/core/src/models/clip-text/model.js';
import { encodePrompts } from '../../packages/core/src/models/prompt-context.js';
import { expectClose, golden, readTensors } from '../support/golden.js';
import { families, loadTextEncoders, numbers, pick, promptInputs, tensor, useBackend } from '../support/models.js';
import { goldenPrompts } from '../support/prompts.js';

const BOUND = 1e-4;

beforeAll(() => useBackend());

describe.each(families)('%s', (family) => {
  test('context, pooled output and hidden states with a concept of two vectors', async () => {
    const file = readTensors(golden(`${family}-golden`, 'text.safetensors'));
    const encoders = await loadTextEncoders(family);
    const { idsOf, all } = goldenPrompts(family);
    const prompts = await Promise.all(
      encoders.map(async (encoder) => {
        const rows = tensor(pick(file, `rows${encoder.suffix}`));
        return {
          rows,
          ...(await promptInputs(
            encoder,
            all.map((prompt) => idsOf(encoder.suffix, prompt)),
            rows.shape[0] ?? 0,
          )),
        };
      }),
    );
    const { context, pooled } = encodePrompts(encoders, prompts);
    expectClose(numbers(context), pick(file, 'context').data, BOUND, 'context');
    expectClose(numbers(pooled), pick(file, 'pooled').data, BOUND, 'pooled');

    const [encoder, prompt] = [encoders[0], prompts[0]];
    if (!encoder || !prompt) throw new Error('no text encoder');
    const { hidden } = encodeText(
      encoder.params,
      injectConcept(prompt.embedded, prompt.slots, prompt.rows),
      prompt.ends,
    );
    hidden.forEach((state, i) => {
      const expected = file.get(`hidden.${i}`); // the file of two encoders has none
      if (expected) expectClose(numbers(state), expected.data, BOUND, `hidden ${i}`);
    });
  });
});
