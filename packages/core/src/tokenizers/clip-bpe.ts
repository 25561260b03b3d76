import { Tokenizer } from '@huggingface/tokenizers';
import { TextualInversionError } from '../errors.js';
import type { FileTree } from '../platform.js';

const START = '<|startoftext|>';
const END = '<|endoftext|>';
const END_OF_WORD = '</w>';

/** Turns text into CLIP's token ids, and back. */
export interface ClipTokenizer {
  /** Ids of a text, without the marks of start and end. */
  encode(text: string): number[];
  readonly startId: number;
  readonly endId: number;
  /** Fills prompts up. The end of text in SD 1.x, `!` in SD 2.x: the tokenizer's files say which. */
  readonly padId: number;
  /** Longest prompt in tokens, both marks included. */
  readonly maxLength: number;
  readonly vocabSize: number;
  /** The id of a word that is one token; undefined when it is several. */
  idOf(word: string): number | undefined;
  /** A token as people write it. */
  wordOf(id: number): string;
}

/**
 * Reads a tokenizer from its folder: `tokenizer.json`, or `vocab.json` and `merges.txt`; the special tokens and the greatest length
 * from `special_tokens_map.json` and `tokenizer_config.json`.
 *
 * The configuration of the text encoder is not asked: in the published checkpoints its token ids are wrong.
 * @param folder - Such as `tokenizer`.
 * @throws MODEL_MISSING_FILE, MODEL_CONFIG
 */
export async function loadTokenizer(tree: FileTree, folder: string): Promise<ClipTokenizer> {
  const config = mergeConfigs(
    asObject(await json(tree, `${folder}/tokenizer_config.json`)),
    asObject(await json(tree, `${folder}/special_tokens_map.json`)),
  );
  const definition = (await json(tree, `${folder}/tokenizer.json`)) ?? (await fromVocabAndMerges(tree, folder, config));
  const vocab = asObject(asObject(asObject(definition)?.['model'])?.['vocab']);
  if (!vocab) throw wrong(tree, `${folder}/tokenizer.json`, 'a byte-pair model with a vocabulary', 'none');
  const tokenizer = build(tree, folder, definition, config);
  const words = new Map<number, string>();
  for (const [token, id] of Object.entries(vocab)) if (typeof id === 'number') words.set(id, token);
  for (const { id, content } of tokenizer.get_added_tokens_decoder().values()) words.set(id, content);

  const idOfToken = (token: string, role: string): number => {
    const id = vocab[token] ?? tokenizer.token_to_id(token);
    if (typeof id !== 'number') throw wrong(tree, folder, `${token} (${role}) in the vocabulary`, 'no such token');
    return id;
  };
  const special = (key: string, fallback: string) => {
    const entry = config[key];
    const content = typeof entry === 'string' ? entry : asObject(entry)?.['content'];
    return typeof content === 'string' ? content : fallback;
  };
  const endId = idOfToken(special('eos_token', END), 'end of text');
  const length = config['model_max_length'];
  // CLIP lower-cases letter by letter; JavaScript would make the last sigma of a Greek word another letter.
  const encode = (text: string) => tokenizer.encode(text.replaceAll('Σ', 'σ'), { add_special_tokens: false }).ids;
  return {
    encode,
    startId: idOfToken(special('bos_token', START), 'start of text'),
    endId,
    padId: idOfToken(special('pad_token', special('eos_token', END)), 'padding'),
    // Some files hold 1e30 for "no limit"; CLIP's is 77.
    maxLength: typeof length === 'number' && length > 2 && length <= 4096 ? length : 77,
    vocabSize: words.size,
    idOf: (word) => {
      const [id, ...rest] = encode(word);
      return rest.length === 0 ? id : undefined;
    },
    wordOf: (id) => readable((words.get(id) ?? `#${id}`).replace(END_OF_WORD, '')),
  };
}

/** The vocabulary writes a byte as a letter: printable ones as themselves, the others, in order, as those from U+0100. */
const BYTE_OF_LETTER: ReadonlyMap<string, number> = (() => {
  const printable = (byte: number) => (byte > 32 && byte < 127) || (byte > 160 && byte !== 173);
  const bytes = Array.from({ length: 256 }, (_, byte) => byte);
  const others = bytes.filter((byte) => !printable(byte));
  return new Map(
    bytes.map((byte) => [String.fromCodePoint(printable(byte) ? byte : 256 + others.indexOf(byte)), byte]),
  );
})();

/** A token's letters as the text they stand for; as they are where they stand for less than a whole letter. */
function readable(token: string): string {
  const bytes = [...token].map((letter) => BYTE_OF_LETTER.get(letter));
  if (bytes.some((byte) => byte === undefined)) return token;
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(Uint8Array.from(bytes as number[]));
  } catch {
    return token;
  }
}

function build(tree: FileTree, folder: string, definition: unknown, config: Record<string, unknown>): Tokenizer {
  try {
    return new Tokenizer(definition as object, config);
  } catch (cause) {
    throw new TextualInversionError('MODEL_CONFIG', {
      where: `${tree.name}/${folder}`,
      expected: 'the definition of a byte-pair tokenizer',
      found: cause instanceof Error ? cause.message : String(cause),
      cause,
    });
  }
}

/**
 * The map of special tokens overrides the configuration, unless the configuration is of the newer kind, which lists every added
 * token. SD 2.x lives by this: its configuration names one padding, its map another, and the map is right.
 */
function mergeConfigs(
  config: Record<string, unknown> = {},
  map: Record<string, unknown> = {},
): Record<string, unknown> {
  return config['added_tokens_decoder'] ? { ...map, ...config } : { ...config, ...map };
}

/** Tokens beside the vocabulary, such as words that another training saved with its model: by content, with their ids. */
async function addedTokens(
  tree: FileTree,
  folder: string,
  config: Record<string, unknown>,
): Promise<[string, number][]> {
  const listed = Object.entries(asObject(config['added_tokens_decoder']) ?? {}).map(
    ([id, token]): [unknown, number] => [asObject(token)?.['content'], Number(id)],
  );
  const file: [unknown, unknown][] = Object.entries(asObject(await json(tree, `${folder}/added_tokens.json`)) ?? {});
  return [...file, ...listed].filter(
    (entry): entry is [string, number] => typeof entry[0] === 'string' && Number.isSafeInteger(entry[1]),
  );
}

/** The same definition that transformers makes of the two old files. */
async function fromVocabAndMerges(tree: FileTree, folder: string, config: Record<string, unknown>): Promise<unknown> {
  const vocab = asObject(await json(tree, `${folder}/vocab.json`));
  const mergesText = await text(tree, `${folder}/merges.txt`);
  if (!vocab || mergesText === undefined) {
    throw new TextualInversionError('MODEL_MISSING_FILE', {
      where: tree.name,
      expected: `${folder}/tokenizer.json, or ${folder}/vocab.json and ${folder}/merges.txt`,
      found: 'neither',
      fix: 'Is this a model in the diffusers layout?',
    });
  }
  const merges = mergesText
    .split('\n')
    .filter((line, i) => line.trim() !== '' && !(i === 0 && line.startsWith('#version')));
  const flags = { single_word: false, lstrip: false, rstrip: false, normalized: false, special: true };
  const added = new Map<string, number>(await addedTokens(tree, folder, config));
  for (const content of [START, END]) if (typeof vocab[content] === 'number') added.set(content, vocab[content]);
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: [...added].map(([content, id]) => ({ id, content, ...flags })),
    normalizer: {
      type: 'Sequence',
      normalizers: [
        { type: 'NFC' },
        { type: 'Replace', pattern: { Regex: '\\s+' }, content: ' ' },
        { type: 'Lowercase' },
      ],
    },
    pre_tokenizer: {
      type: 'Sequence',
      pretokenizers: [
        {
          type: 'Split',
          pattern: { Regex: "'s|'t|'re|'ve|'m|'ll|'d|[\\p{L}]+|[\\p{N}]|[^\\s\\p{L}\\p{N}]+" },
          behavior: 'Removed',
          invert: true,
        },
        { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false },
      ],
    },
    post_processor: null,
    decoder: null,
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: END,
      continuing_subword_prefix: '',
      end_of_word_suffix: END_OF_WORD,
      fuse_unk: false,
      vocab,
      merges,
    },
  };
}

async function text(tree: FileTree, path: string): Promise<string | undefined> {
  const source = await tree.open(path);
  return source && new TextDecoder().decode(await source.read(0, source.size));
}

async function json(tree: FileTree, path: string): Promise<unknown> {
  const content = await text(tree, path);
  if (content === undefined) return undefined;
  try {
    return JSON.parse(content);
  } catch (cause) {
    throw new TextualInversionError('MODEL_CONFIG', {
      where: `${tree.name}/${path}`,
      expected: 'JSON',
      found: 'text that does not parse',
      cause,
    });
  }
}

function asObject(value: unknown): Record<string, unknown> | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? Object.fromEntries(Object.entries(value))
    : undefined;
}

function wrong(tree: FileTree, path: string, expected: string, found: string): TextualInversionError {
  return new TextualInversionError('MODEL_CONFIG', { where: `${tree.name}/${path}`, expected, found });
}
