"""Writes a folder of reference numbers: tiny random pipelines, and what diffusers, transformers and PyTorch compute with them.

    python make.py ../../tests/golden --seed 7 --bpe bpe_simple_vocab_16e6.txt.gz
    python make.py /tmp/golden --seed 1234 --sizes other --bpe bpe_simple_vocab_16e6.txt.gz
"""
from __future__ import annotations

import argparse
from pathlib import Path

import torch

from concepts import write_concepts
from extras import write_clip_vision, write_randoms, write_tiny_autoencoder, write_tokens
from families import SIZES, families
from layouts import write_layouts
from pipelines import build
from publish import publish
from references import write_references
from schedulers import write_schedulers

THREADS = 2  # sums are split by threads: another number moves the last bits


def main() -> None:
    parser = argparse.ArgumentParser(description="Writes a folder of reference numbers.")
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--sizes", choices=SIZES, default="usual")
    parser.add_argument("--bpe", type=Path, required=True, help="bpe_simple_vocab_16e6.txt.gz, out of the open_clip_torch package")
    options = parser.parse_args()
    out, seed, sizes = options.out, options.seed, SIZES[options.sizes]

    torch.set_num_threads(THREADS)
    torch.manual_seed(seed)
    for family in families(sizes):
        pipeline = build(family, out / family.name, options.bpe, seed)
        write_references(pipeline, out / f"{family.name}-golden", sizes, seed)
        print(family.name)
    write_schedulers(out / "schedulers.safetensors", seed)
    write_tokens(out / "tokens.json", out / "tiny-sd1/tokenizer")
    write_clip_vision(out, seed)
    write_tiny_autoencoder(out, seed)
    write_concepts(out / "concepts", sizes, seed)
    write_randoms(out / "random.safetensors")
    write_layouts(out / "layouts")
    publish(out)


if __name__ == "__main__":
    main()
