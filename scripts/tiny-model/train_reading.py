"""Teaches the text encoder to read captions before there are pictures: minutes, where through pictures it took hours.

The loss of the diffusion model alone taught it the words that change many pixels (colours, sides) and, in 150,000
samples, none of the others: "striped" made no difference. A name is read as all that its individual is, so that a
noun learns to carry an identity, which is what a new word will need.
"""
from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn

from captions import caption, named_looks
from judges import ATTRIBUTES, answers, said, visible
from models import SETTINGS, TEXT_WIDTH, build_text_encoder
from training import Stage, train
from vocabulary import encode
from world import Scene, pick, random_scene

BATCH = 64
NAMED_SHARE = 0.35
KEEP = (0.6, 1.0)  # the share of attributes that a caption says, drawn anew for each
READ = {**ATTRIBUTES, "width": ["7", "8", "9"], "height": ["6", "7", "8"]}
INDIVIDUAL = {"hue", "pattern", "top", "shape", "mouth", "eyes", "width", "height"}


class CaptionReader(nn.Module):
    """Reads the answers that a caption gives from one state behind its end; it only trains, no export has it."""

    def __init__(self) -> None:
        super().__init__()
        self.heads = nn.ModuleDict({name: nn.Linear(TEXT_WIDTH, len(values)) for name, values in READ.items()})

    def loss(self, states: torch.Tensor, ids: torch.Tensor, told: list[dict[str, str]], end: int) -> torch.Tensor:
        """`states` `[B, L, TEXT_WIDTH]` of `ids` `[B, L]`, which end at the first `end`; `told` has the answers."""
        first = (ids == end).int().argmax(1)
        position = first + (torch.rand(len(ids), device=ids.device) * (ids.shape[1] - first)).long()
        read = states[torch.arange(len(ids), device=ids.device), position]
        losses = []
        for name, head in self.heads.items():
            target = torch.tensor([READ[name].index(t[name]) if name in t else -1 for t in told], device=ids.device)
            if (target >= 0).any():
                losses.append(nn.functional.cross_entropy(head(read).float(), target, ignore_index=-1))
        return torch.stack(losses).sum()


def told_answers(scene: Scene, text: str, name: str | None) -> dict[str, str]:
    """What a caption says; a name says everything about its individual that the picture shows."""
    found = answers(scene) | {"width": str(scene.look.width), "height": str(scene.look.height)}
    told = said(scene, text)
    if name and name in text:
        told |= INDIVIDUAL & (visible(scene) | {"width", "height"})
    return {k: found[k] for k in told if k in READ}


def train_reading(run: Path, minutes: float, tokenizer, device: torch.device, precision: torch.dtype):
    """Returns the text encoder and its reader."""
    torch.manual_seed(4)
    text_encoder, reader = build_text_encoder(tokenizer), CaptionReader()
    names = named_looks()
    words = list(names)

    def loss_of_batch(rng: np.random.Generator, _fraction: float) -> tuple[torch.Tensor, int]:
        told, texts = [], []
        for _ in range(BATCH):
            name = pick(rng, words) if rng.random() < NAMED_SHARE else None
            scene = random_scene(rng, names[name] if name else None)
            texts.append(caption(scene, rng, name, rng.uniform(*KEEP)))
            told.append(told_answers(scene, texts[-1], name))
        ids = encode(tokenizer, texts).to(device)
        return reader.loss(text_encoder(ids).last_hidden_state, ids, told, tokenizer.eos_token_id), BATCH

    stage = Stage("reading", minutes, learning_rate=1e-3, seed=4, weight_decay=1e-3, warmup=50, decay="cooldown")
    settings = {**SETTINGS, "vocabulary": len(tokenizer), "read": READ}
    train(stage, run, settings, {"text_encoder": text_encoder, "reader": reader}, loss_of_batch, device=device, precision=precision)
    return text_encoder, reader
