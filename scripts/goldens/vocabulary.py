"""CLIP's tokenizer, from the merges that the open_clip_torch package ships."""
from __future__ import annotations

import gzip
from pathlib import Path

from tensors import write_json

SIZE = 49152  # merges of the vocabulary, bytes and their word endings included


def write_tokenizer(folder: Path, merges_file: Path, pad_token: str) -> None:
    """Writes `vocab.json`, `merges.txt` and the two configs, as the published checkpoints have them."""
    merges = gzip.decompress(merges_file.read_bytes()).decode("utf-8").split("\n")[1:SIZE - 256 - 2 + 1]
    letters = byte_letters()
    words = [*letters, *(letter + "</w>" for letter in letters), *("".join(merge.split()) for merge in merges), "<|startoftext|>", "<|endoftext|>"]
    write_json(folder / "vocab.json", {word: i for i, word in enumerate(words)}, indent=None)
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n", "utf-8")
    special = {"bos_token": special_token("<|startoftext|>"), "eos_token": special_token("<|endoftext|>"), "unk_token": special_token("<|endoftext|>")}
    write_json(folder / "special_tokens_map.json", {**special, "pad_token": pad_token})
    write_json(folder / "tokenizer_config.json", {
        "add_prefix_space": False, **special, "pad_token": pad_token, "do_lower_case": True, "errors": "replace", "model_max_length": 77,
        "tokenizer_class": "CLIPTokenizer",
    })


def byte_letters() -> list[str]:
    """A printable letter for every byte, printable ones first."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in printable]
    return [chr(byte) for byte in printable] + [chr(256 + i) for i in range(len(others))]


def special_token(content: str) -> dict:
    return {"content": content, "lstrip": False, "normalized": True, "rstrip": False, "single_word": False}
