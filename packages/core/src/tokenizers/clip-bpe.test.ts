import { describe, expect, it } from 'vitest';
import { memoryTree } from '../../../../tests/support/memory.js';
import { loadTokenizer } from './clip-bpe.js';

const vocab = Object.fromEntries(
  ['!', 'a', 'c', 't', 'a</w>', 't</w>', 'ca', 'cat</w>', 'Ïĥ', 'Ï', 'ĥ</w>', '<|startoftext|>', '<|endoftext|>'].map(
    (token, id) => [token, id],
  ),
);
const merges = '#version: 0.2\nc a\nca t</w>\n';
const old = { 'tokenizer/vocab.json': vocab, 'tokenizer/merges.txt': merges };
const end = vocab['<|endoftext|>'];

describe('loadTokenizer', () => {
  it('reads vocabulary and merges', async () => {
    const tokenizer = await loadTokenizer(memoryTree(old), 'tokenizer');
    expect(tokenizer.encode('  Cat  a CAT')).toEqual([7, 4, 7]);
    expect(tokenizer.idOf('cat')).toBe(7);
    expect(tokenizer.idOf('cat a')).toBeUndefined();
    expect(tokenizer.wordOf(7)).toBe('cat');
    expect(tokenizer).toMatchObject({ startId: 11, endId: 12, padId: end, maxLength: 77, vocabSize: 13 });
  });

  it('reads tokenizer.json to the same effect', async () => {
    const tree = memoryTree({
      'tokenizer/tokenizer.json': {
        added_tokens: [{ id: 12, content: '<|endoftext|>', special: true, normalized: false }],
        normalizer: { type: 'Sequence', normalizers: [{ type: 'NFC' }, { type: 'Lowercase' }] },
        pre_tokenizer: { type: 'Split', pattern: { Regex: '\\p{L}+' }, behavior: 'Removed', invert: true },
        post_processor: null,
        decoder: null,
        model: {
          type: 'BPE',
          vocab,
          merges: ['c a', 'ca t</w>'],
          end_of_word_suffix: '</w>',
          unk_token: '<|endoftext|>',
        },
      },
    });
    expect((await loadTokenizer(tree, 'tokenizer')).encode('Cat a CAT')).toEqual([7, 4, 7]);
  });

  it('pads as the map of special tokens says, where the configuration is old', async () => {
    const load = (config: object, map: object) =>
      loadTokenizer(
        memoryTree({ ...old, 'tokenizer/tokenizer_config.json': config, 'tokenizer/special_tokens_map.json': map }),
        'tokenizer',
      );
    const [text, mark] = [{ pad_token: '<|endoftext|>' }, { pad_token: '!' }];
    expect((await load(text, mark)).padId).toBe(0); // SD 2.x as published
    expect((await load({ ...text, added_tokens_decoder: { 12: { content: '<|endoftext|>' } } }, mark)).padId).toBe(end);
    expect((await load({ model_max_length: 1e30 }, { pad_token: { content: '!' } })).padId).toBe(0);
  });

  it('knows words that were added to the vocabulary', async () => {
    const tokenizer = await loadTokenizer(
      memoryTree({ ...old, 'tokenizer/added_tokens.json': { '<my-cat>': 13 } }),
      'tokenizer',
    );
    expect(tokenizer.encode('a <my-cat> a')).toEqual([4, 13, 4]);
    expect(tokenizer.wordOf(13)).toBe('<my-cat>');
    expect(tokenizer.vocabSize).toBe(14);
  });

  it('does not write a final sigma of its own', async () => {
    const tokenizer = await loadTokenizer(memoryTree(old), 'tokenizer');
    expect(tokenizer.encode('Σ')).toEqual(tokenizer.encode('σ'));
    expect(tokenizer.wordOf(8)).toBe('σ');
    expect(tokenizer.wordOf(9)).toBe('Ï'); // half a letter
  });

  it('says what is missing or wrong', async () => {
    await expect(loadTokenizer(memoryTree({}), 'tokenizer')).rejects.toMatchObject({ code: 'MODEL_MISSING_FILE' });
    await expect(loadTokenizer(memoryTree({ ...old, 'tokenizer/vocab.json': '{' }), 'tokenizer')).rejects.toMatchObject(
      { code: 'MODEL_CONFIG' },
    );
    await expect(
      loadTokenizer(memoryTree({ 'tokenizer/tokenizer.json': { model: { type: 'None', vocab } } }), 'tokenizer'),
    ).rejects.toMatchObject({ code: 'MODEL_CONFIG' });
    await expect(
      loadTokenizer(memoryTree({ ...old, 'tokenizer/special_tokens_map.json': { pad_token: '?' } }), 'tokenizer'),
    ).rejects.toMatchObject({ code: 'MODEL_CONFIG' });
  });
});
