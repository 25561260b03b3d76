import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { loadTokenizer } from '../../packages/core/src/tokenizers/clip-bpe.js';
import { checkPlaceholder, tokenizePrompt } from '../../packages/core/src/tokenizers/prompt.js';
import { folder } from '../support/folder.js';
import { golden } from '../support/golden.js';

const cases = JSON.parse(readFileSync(golden('tokens.json'), 'utf8')) as { text: string; ids: number[] }[];
const tokenizer = await loadTokenizer(folder(golden('tiny-sd1')), 'tokenizer');

describe('ids of tokens.json', () => {
  it.each(cases)('$text', ({ text, ids }) => {
    expect([...tokenizePrompt(tokenizer, text).ids]).toEqual(ids);
  });

  it('warns when it cuts', () => {
    expect(tokenizePrompt(tokenizer, 'a' + ' b'.repeat(90)).warnings.join()).toMatch(
      /91 tokens and the model reads 75/,
    );
    expect(tokenizePrompt(tokenizer, 'a cat').warnings).toEqual([]);
  });
});

describe('a concept in a prompt', () => {
  const concepts = [
    { token: '<cat', vectors: 1 },
    { token: '<cat-toy>', vectors: 3 },
  ];

  it('takes one place per row, and the longer token wins', () => {
    const { ids, slots, endPosition } = tokenizePrompt(tokenizer, 'a <cat-toy> and <cat', concepts);
    expect(slots).toEqual([
      { position: 2, concept: 1, row: 0 },
      { position: 3, concept: 1, row: 1 },
      { position: 4, concept: 1, row: 2 },
      { position: 6, concept: 0, row: 0 },
    ]);
    expect(endPosition).toBe(7);
    expect(ids[5]).toBe(tokenizer.idOf('and'));
  });

  it('is not lost silently', () => {
    expect(() => tokenizePrompt(tokenizer, `${'b '.repeat(73)}<cat-toy>`, concepts)).toThrow(
      expect.objectContaining({ code: 'PROMPT_TOO_LONG' }),
    );
    expect(tokenizePrompt(tokenizer, `${'b '.repeat(72)}<cat-toy> c`, concepts).slots).toHaveLength(3);
  });

  it('has a name of its own', () => {
    expect(() => checkPlaceholder([tokenizer], 'cat')).toThrow(expect.objectContaining({ code: 'TOKEN_EXISTS' }));
    for (const token of ['', 'my cat', '\t']) {
      expect(() => checkPlaceholder([tokenizer], token)).toThrow(expect.objectContaining({ code: 'TOKEN_INVALID' }));
    }
    expect(() => checkPlaceholder([tokenizer], '<my-cat>')).not.toThrow();
  });
});
