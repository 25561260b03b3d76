"""Reads concept files that this library wrote, the way the tools they are for read them, and compares the numbers.

    python check.py FOLDER --tokenizer ../../tests/golden/tiny-sd1/tokenizer

FOLDER/expected.json lists the files: `[{"file", "format", "token", "rows"}]`, rows being `[V, D]` for each text encoder.
Needs torch and safetensors. Where diffusers and transformers are there too, its `load_textual_inversion` reads the files made for it.
`tests/python/concepts.test.ts` writes such a folder and calls this.
"""
from __future__ import annotations

import argparse
import importlib.util
import json
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file

Rows = list[torch.Tensor]
HAS_DIFFUSERS = all(importlib.util.find_spec(name) for name in ("diffusers", "transformers"))


def load(path: Path) -> dict:
    # weights_only: PyTorch's own loader refuses everything but plain containers and tensors.
    return load_file(path) if path.suffix == ".safetensors" else torch.load(path, weights_only=True)


def only_tensor(file: dict) -> Rows:
    """diffusers, A1111, ComfyUI: one entry, whatever it is called."""
    [rows] = file.values()
    return [rows]


def string_to_param(file: dict) -> Rows:
    """The paper's code and A1111: the entry of `string_to_param`, which both expect to be the only one."""
    assert list(file["string_to_token"]) == list(file["string_to_param"]) == ["*"], "the tools look the rows up under '*'"
    return only_tensor(file["string_to_param"])


READERS: dict[str, Callable[[dict], Rows]] = {
    "diffusers": only_tensor,
    "a1111": string_to_param,
    "compvis": string_to_param,
    "kohya": lambda file: [file["emb_params"]],
    "onetrainer": lambda file: [file["emp_params"]],
    "sdxl": lambda file: [file["clip_l"], file["clip_g"]],
}


def with_diffusers(path: Path, case: dict, tokenizer_folder: Path) -> Rows:
    """What stands in the text encoders' tables after `load_textual_inversion`."""
    from diffusers.loaders import TextualInversionLoaderMixin
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    class Pipeline(TextualInversionLoaderMixin):
        components: dict = {}
        hf_device_map = None

    # The halves of an SDXL file are handed over one by one, as the library's documentation says.
    sources = READERS["sdxl"](load(path)) if case["format"] == "sdxl" else [str(path)]
    found = []
    for source, rows in zip(sources, case["rows"], strict=True):
        width, heads = len(rows[0]), 2
        config = CLIPTextConfig(vocab_size=49408, hidden_size=width, intermediate_size=width, num_hidden_layers=1, num_attention_heads=heads)
        encoder, tokenizer = CLIPTextModel(config), CLIPTokenizer.from_pretrained(tokenizer_folder)
        token = case["token"]
        Pipeline().load_textual_inversion(source, token=token, tokenizer=tokenizer, text_encoder=encoder)
        words = [token, *(f"{token}_{i}" for i in range(1, len(rows)))]
        assert tokenizer.tokenize(f"a photo of {' '.join(words)}")[3:] == words, "the tokenizer does not know the words"
        found.append(encoder.get_input_embeddings().weight.data[tokenizer.convert_tokens_to_ids(words)])
    return found


def differs(found: Rows, expected: list) -> str | None:
    wanted = [torch.tensor(rows, dtype=torch.float32) for rows in expected]
    if len(found) != len(wanted):
        return f"rows for {len(found)} text encoders instead of {len(wanted)}"
    for rows, want in zip(found, wanted, strict=True):
        if rows.dtype != torch.float32 or rows.shape != want.shape:
            return f"{rows.dtype} {list(rows.shape)} instead of float32 {list(want.shape)}"
        if not torch.equal(rows, want):
            return f"numbers that differ by up to {(rows - want).abs().max():.3g}"
    return None


def main() -> int:
    parser = argparse.ArgumentParser(description="Reads concept files as the tools they are for.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tokenizer", type=Path, required=True, help="folder of a CLIP tokenizer")
    options = parser.parse_args()
    problems = 0
    for case in json.loads((options.folder / "expected.json").read_text("utf-8")):
        path = options.folder / case["file"]
        readings = {"torch/safetensors": lambda: READERS[case["format"]](load(path))}
        if HAS_DIFFUSERS and case["format"] in ("diffusers", "a1111", "sdxl"):
            readings["diffusers"] = lambda: with_diffusers(path, case, options.tokenizer)
        for reader, read in readings.items():
            try:
                problem = differs(read(), case["rows"])
            except Exception as error:  # a reader that refuses the file is what this is about
                problem = f"{type(error).__name__}: {error}"
            problems += problem is not None
            print(f"{case['file']} by {reader}: {problem or 'equal'}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
