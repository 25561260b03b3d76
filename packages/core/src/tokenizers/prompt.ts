import { TextualInversionError } from '../errors.js';
import type { ClipTokenizer } from './clip-bpe.js';

/** A learned word as a prompt sees it. */
export interface PlaceholderToken {
  readonly token: string;
  /** Rows it has, and so places it takes in a prompt. */
  readonly vectors: number;
}

/** A place in a prompt that a learned row fills. */
export interface ConceptSlot {
  readonly position: number;
  /** Which of the concepts that were given. */
  readonly concept: number;
  /** Which of its rows. */
  readonly row: number;
}

export interface TokenizedPrompt {
  /** `[S]`; at a slot the id is the end of text's, and not used. */
  readonly ids: Int32Array;
  readonly slots: readonly ConceptSlot[];
  /** Where the text ends. */
  readonly endPosition: number;
  readonly warnings: readonly string[];
}

/**
 * Turns a prompt into ids and slots. A concept's token is found in the text itself and never becomes text again, so it cannot be
 * split, lower-cased or mistaken for words, nor found within one. Of two tokens that begin alike, the longer wins.
 * @param concepts - A token of `vectors` rows takes that many places, one after another.
 * @throws PROMPT_TOO_LONG when cutting the prompt to `maxLength` would lose a concept; TOKEN_EXISTS when two concepts share a token
 */
export function tokenizePrompt(
  tokenizer: ClipTokenizer,
  prompt: string,
  concepts: readonly PlaceholderToken[] = [],
): TokenizedPrompt {
  const { startId, endId, padId, maxLength } = tokenizer;
  refuseTwins(concepts);
  const ids: number[] = [startId];
  const slots: ConceptSlot[] = [];
  for (const piece of split(prompt, concepts)) {
    if (typeof piece === 'string') {
      for (const id of tokenizer.encode(piece)) ids.push(id);
      continue;
    }
    for (let row = 0; row < (concepts[piece.concept]?.vectors ?? 0); row++) {
      slots.push({ position: ids.length, concept: piece.concept, row });
      ids.push(endId);
    }
  }
  const warnings: string[] = [];
  const room = maxLength - 1;
  const lost = slots.find(({ position }) => position >= room);
  if (lost) {
    throw new TextualInversionError('PROMPT_TOO_LONG', {
      where: `the prompt ${JSON.stringify(shortened(prompt))}`,
      expected: `at most ${maxLength - 2} tokens before ${concepts[lost.concept]?.token} ends`,
      found: `${ids.length - 1}`,
      fix: 'Shorten the prompt, or put the concept nearer to its start.',
    });
  }
  if (ids.length > room) {
    warnings.push(`The prompt has ${ids.length - 1} tokens and the model reads ${maxLength - 2}: the end was cut off.`);
    ids.length = room;
  }
  const endPosition = ids.length;
  ids.push(endId);
  while (ids.length < maxLength) ids.push(padId);
  return { ids: Int32Array.from(ids), slots, endPosition, warnings };
}

function refuseTwins(concepts: readonly PlaceholderToken[]): void {
  const twin = concepts.find(({ token }, i) => concepts.findIndex((other) => other.token === token) < i);
  if (!twin) return;
  throw new TextualInversionError('TOKEN_EXISTS', {
    where: 'concepts',
    expected: 'every concept to have a word of its own',
    found: `two called ${JSON.stringify(twin.token)}`,
    fix: 'Load one of them under another token.',
  });
}

function split(prompt: string, concepts: readonly PlaceholderToken[]): (string | { concept: number })[] {
  const byLength = concepts
    .map(({ token }, concept) => ({ token, concept }))
    .toSorted((a, b) => b.token.length - a.token.length);
  const pieces: (string | { concept: number })[] = [];
  let [start, at] = [0, 0];
  while (at < prompt.length) {
    const found = byLength.find(({ token }) => standsAt(prompt, token, at));
    if (!found) {
      at++;
      continue;
    }
    if (at > start) pieces.push(prompt.slice(start, at));
    pieces.push({ concept: found.concept });
    start = at += found.token.length;
  }
  if (at > start) pieces.push(prompt.slice(start));
  return pieces;
}

function shortened(text: string): string {
  return text.length > 80 ? `${text.slice(0, 79)}…` : text;
}

/** Characters of scripts that put spaces between words. */
const OF_WORDS = /[\p{Script=Latin}\p{Script=Greek}\p{Script=Cyrillic}\p{N}_]/u;

/** Whether a token stands in a text here, and not in the middle of a word: "art" is no part of "party". */
function standsAt(text: string, token: string, at: number): boolean {
  if (token === '' || !text.startsWith(token, at)) return false;
  const end = at + token.length;
  const within = (before: string | undefined, after: string | undefined) =>
    OF_WORDS.test(before ?? '') && OF_WORDS.test(after ?? '');
  return !within(text[at - 1], token[0]) && !within(token.at(-1), text[end]);
}

/** Whether a text holds a concept's token, as `tokenizePrompt` finds it. */
export function holdsToken(text: string, token: string): boolean {
  return Array.from(text, (_, at) => at).some((at) => standsAt(text, token, at));
}

/** Puts a word where a sentence has `{}`. */
export function fillIn(sentence: string, word: string): string {
  return sentence.replaceAll('{}', () => word); // as text, a "$&" in the word would mean something
}

/** Checks that a word can be a token. @throws TOKEN_INVALID when it is empty, or has spaces */
export function checkToken(token: string): void {
  if (typeof token === 'string' && token !== '' && !/\s/.test(token)) return;
  throw new TextualInversionError('TOKEN_INVALID', {
    where: 'token',
    expected: 'a word without spaces, such as "<my-cat>"',
    found: JSON.stringify(token) ?? 'nothing',
  });
}

/**
 * Checks that a word can become a placeholder token of these tokenizers.
 * @throws TOKEN_INVALID (empty, or with spaces), TOKEN_EXISTS (already one token of the vocabulary)
 */
export function checkPlaceholder(tokenizers: readonly ClipTokenizer[], token: string): void {
  checkToken(token);
  if (tokenizers.some((tokenizer) => tokenizer.idOf(token) !== undefined)) {
    throw new TextualInversionError('TOKEN_EXISTS', {
      where: 'token',
      expected: 'a word that the model does not know',
      found: `${JSON.stringify(token)}, which it does`,
      fix: `Take "<${token.replace(/[<>|]/g, '')}>".`,
    });
  }
}
