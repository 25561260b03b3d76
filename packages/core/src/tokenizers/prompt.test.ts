import { describe, expect, it } from 'vitest';
import type { ClipTokenizer } from './clip-bpe.js';
import { checkPlaceholder, fillIn, holdsToken, tokenizePrompt } from './prompt.js';

/** One token per word: its length. */
const tokenizer: ClipTokenizer = {
  encode: (text) =>
    text
      .split(/\s+/)
      .filter(Boolean)
      .map(({ length }) => length),
  startId: 100,
  endId: 101,
  padId: 0,
  maxLength: 8,
  vocabSize: 102,
  idOf: (word) => (word === 'cat' ? 3 : undefined),
  wordOf: String,
};

describe('fillIn', () => {
  it('takes the word as it is', () => {
    expect(fillIn('a {} and a {}', "<a$$b$&$'>")).toBe("a <a$$b$&$'> and a <a$$b$&$'>");
  });
});

describe('tokenizePrompt', () => {
  it('begins, ends and fills up', () => {
    const { ids, slots, endPosition, warnings } = tokenizePrompt(tokenizer, 'a photo');
    expect([...ids]).toEqual([100, 1, 5, 101, 0, 0, 0, 0]);
    expect({ slots, endPosition, warnings }).toEqual({ slots: [], endPosition: 3, warnings: [] });
    expect([...tokenizePrompt(tokenizer, '').ids]).toEqual([100, 101, 0, 0, 0, 0, 0, 0]);
  });

  it('takes a token as it is: signs, capitals, no spaces around it, several times', () => {
    const concepts = [{ token: '$&*', vectors: 2 }];
    const { ids, slots } = tokenizePrompt(tokenizer, 'a$&*,$&*', concepts);
    expect([...ids]).toEqual([100, 1, 101, 101, 1, 101, 101, 101]);
    expect(slots.map(({ position, row }) => [position, row])).toEqual([
      [2, 0],
      [3, 1],
      [5, 0],
      [6, 1],
    ]);
    expect(tokenizePrompt(tokenizer, 'the CAT-X', [{ token: 'cat-x', vectors: 1 }]).slots).toEqual([]);
  });

  it('finds a token that is a plain word only where it stands alone', () => {
    const art = [{ token: 'art', vectors: 1 }];
    const found = (prompt: string) => tokenizePrompt(tokenizer, prompt, art).slots.map(({ position }) => position);
    expect(found('a cartoon party')).toEqual([]);
    expect(found('art, an (art:1.2)')).toEqual([1, 5]);
    expect(found('art2 _art artée')).toEqual([]);
    expect(holdsToken('a party', 'art')).toBe(false);
    expect(holdsToken("art's", 'art')).toBe(true);
    expect(holdsToken('一只猫在月亮上', '猫')).toBe(true); // no spaces between words
    expect(holdsToken('two<x>s', '<x>')).toBe(true);
    expect(holdsToken('anything', '')).toBe(false);
  });

  it('cuts with a warning, never a concept', () => {
    const concepts = [{ token: '<x>', vectors: 2 }];
    expect(tokenizePrompt(tokenizer, 'a b <x> c d', concepts).warnings).toEqual([]);
    const cut = tokenizePrompt(tokenizer, 'a b <x> c d e', concepts);
    expect(cut.warnings).toHaveLength(1);
    expect(cut.endPosition).toBe(7);
    expect(() => tokenizePrompt(tokenizer, 'a b c d e <x>', concepts)).toThrow(
      expect.objectContaining({ code: 'PROMPT_TOO_LONG' }),
    );
  });

  it('refuses two concepts of one name', () => {
    const twins = [
      { token: '<x>', vectors: 1 },
      { token: '<x>', vectors: 2 },
    ];
    expect(() => tokenizePrompt(tokenizer, 'a <x>', twins)).toThrow(expect.objectContaining({ code: 'TOKEN_EXISTS' }));
  });
});

describe('checkPlaceholder', () => {
  it.each([
    ['', 'TOKEN_INVALID'],
    ['a b', 'TOKEN_INVALID'],
    ['a\u00a0b', 'TOKEN_INVALID'],
    ['cat', 'TOKEN_EXISTS'],
  ])('%j is refused', (token, code) => {
    expect(() => checkPlaceholder([tokenizer], token)).toThrow(expect.objectContaining({ code }));
  });

  it('takes a new word', () => expect(() => checkPlaceholder([tokenizer], '<cat>')).not.toThrow());
});
