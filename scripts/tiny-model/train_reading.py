"""Teaches the text encoder to read captions before there are pictures: minutes, where through pictures it took hours.

The loss of the diffusion model alone taught it the words that change many pixels (colours, sides) and, in 150,000
samples, none of the others: "striped" made no difference. A name is read as all that its individual is, so that a
noun learns to carry an identity (see namer.py), which is what a new word will need.
"""
from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn

from captions import caption
from judges import ATTRIBUTES, answer_loss, answers, numbered, said, visible
from models import SETTINGS, TEXT_WIDTH, build_text_encoder
from namer import Namer, Names
from supply import Batch, batch_size
from training import Stage, train
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

    def loss(self, states: torch.Tensor, ids: torch.Tensor, told: torch.Tensor, end: int) -> torch.Tensor:
        """`states` `[B, L, TEXT_WIDTH]` of `ids` `[B, L]`, which end at the first `end`; `told` has the answers, `[B, len(READ)]`."""
        first = (ids == end).int().argmax(1)
        position = first + (torch.rand(len(ids), device=ids.device) * (ids.shape[1] - first)).long()
        read = states.gather(1, position[:, None, None].expand(-1, -1, states.shape[2])).squeeze(1)
        return answer_loss({name: head(read) for name, head in self.heads.items()}, told)


def told_answers(scene: Scene, text: str, name: str | None) -> dict[str, str]:
    """What a caption says; a name says everything about its individual that the picture shows."""
    found = answers(scene) | {"width": str(scene.look.width), "height": str(scene.look.height)}
    told = said(scene, text)
    if name and name in text:
        told |= INDIVIDUAL & (visible(scene) | {"width", "height"})
    return {k: found[k] for k in told if k in READ}


def draw_captions(rng: np.random.Generator, names: Names, count: int) -> Batch:
    told, texts, looks = [], [], []
    for _ in range(count):
        name = pick(rng, names.words) if rng.random() < NAMED_SHARE else None
        scene = random_scene(rng)
        looks.append(scene.look if name else None)
        texts.append(caption(scene, rng, name, rng.uniform(*KEEP)))
        told.append(told_answers(scene, texts[-1], name))
    return names.encode(texts, looks) | {"told": numbered(told, READ)}


def train_reading(run: Path, minutes: float, names: Names, device: torch.device, precision: torch.dtype):
    """Returns the text encoder, its reader and the namer."""
    torch.manual_seed(4)
    tokenizer = names.tokenizer
    text_encoder, reader, namer = build_text_encoder(tokenizer), CaptionReader(), Namer(TEXT_WIDTH)

    def loss_of_batch(batch: Batch, _cooling: torch.Tensor) -> torch.Tensor:
        with namer.naming(text_encoder, batch):
            states = text_encoder(batch["ids"]).last_hidden_state
        return reader.loss(states, batch["ids"], batch["told"], tokenizer.eos_token_id)

    stage = Stage("reading", minutes, learning_rate=1e-3, seed=4, weight_decay=1e-3, warmup=50, decay="cooldown")
    settings = {**SETTINGS, "vocabulary": len(tokenizer), "read": READ}
    modules = {"text_encoder": text_encoder, "reader": reader, "namer": namer}
    draw_batch = partial(draw_captions, names=names, count=batch_size(BATCH, device))
    train(stage, run, settings, modules, draw_batch, loss_of_batch, device=device, precision=precision)
    return text_encoder, reader, namer
