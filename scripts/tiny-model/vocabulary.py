"""Writes a CLIP byte-pair tokenizer in which every word of the world is one token and anything else falls back to bytes."""
from __future__ import annotations

import json
from pathlib import Path

from captions import TEMPLATE_WORDS, named_looks, word_list

MAX_LENGTH = 32  # 77, as CLIP has, would cost more than the UNet
START, END = "<|startoftext|>", "<|endoftext|>"
END_OF_WORD = "</w>"


def byte_alphabet() -> list[str]:
    """The 256 characters that stand for bytes, in CLIP's order: printable ones for themselves, the others shifted up."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in printable]
    return [chr(b) for b in printable] + [chr(256 + i) for i in range(len(others))]


def learn_merges(words: list[str]) -> list[tuple[str, str]]:
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    model = Tokenizer(models.BPE(end_of_word_suffix=END_OF_WORD, unk_token=None))
    model.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    trainer = trainers.BpeTrainer(
        vocab_size=20_000, min_frequency=1, end_of_word_suffix=END_OF_WORD, initial_alphabet=[], show_progress=False
    )
    # Common words weigh more, so that they are merged first.
    model.train_from_iterator([w for i, w in enumerate(words) for _ in range(2 + len(words) - i if i < 100 else 2)], trainer)
    merges = json.loads(model.to_str())["model"]["merges"]
    return [tuple(m) if isinstance(m, list) else tuple(m.split(" ")) for m in merges]


def split(word: str, ranks: dict[tuple[str, str], int]) -> list[str]:
    """Byte-pair encodes one word: always the pair that was learned first."""
    parts = [*word[:-1], word[-1] + END_OF_WORD]
    while len(parts) > 1:
        rank, i = min((ranks.get(pair, len(ranks)), i) for i, pair in enumerate(zip(parts, parts[1:])))
        if rank == len(ranks):
            break
        parts[i:i + 2] = [parts[i] + parts[i + 1]]
    return parts


def append_words(merges: list[tuple[str, str]], words: tuple[str, ...]) -> list[tuple[str, str]]:
    """Adds merges until each word is one token. New merges rank last, so no word that was one token falls apart."""
    merges = list(merges)
    for word in words:
        while len(parts := split(word, {pair: i for i, pair in enumerate(merges)})) > 1:
            merges.append((parts[0], parts[1]))
    return merges


def build_tokenizer(folder: Path) -> None:
    merges = append_words(learn_merges(word_list() + list(named_looks())), TEMPLATE_WORDS)
    alphabet = byte_alphabet()
    tokens = dict.fromkeys(alphabet + [c + END_OF_WORD for c in alphabet] + [a + b for a, b in merges] + [START, END])
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = {token: i for i, token in enumerate(tokens)}
    (folder / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False), "utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in merges), "utf-8")

    def special(content: str) -> dict:
        return {"content": content, "lstrip": False, "normalized": True, "rstrip": False, "single_word": False}

    specials = {"bos_token": special(START), "eos_token": special(END), "unk_token": special(END)}
    (folder / "special_tokens_map.json").write_text(json.dumps({**specials, "pad_token": END}, indent=2) + "\n", "utf-8")
    config = {
        "add_prefix_space": False, **specials, "pad_token": END, "do_lower_case": True, "errors": "replace",
        "model_max_length": MAX_LENGTH, "tokenizer_class": "CLIPTokenizer",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n", "utf-8")


def load_tokenizer(folder: Path):
    from transformers import CLIPTokenizer

    return CLIPTokenizer.from_pretrained(folder)


def encode(tokenizer, captions: list[str]):
    """Captions to `[B, MAX_LENGTH]` ids, padded with the end token as Stable Diffusion 1.x does."""
    return tokenizer(captions, padding="max_length", truncation=True, max_length=MAX_LENGTH, return_tensors="pt").input_ids
