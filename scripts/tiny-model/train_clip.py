"""Trains the CLIP pair that measures pictures: it takes no part in drawing them."""
from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from captions import caption
from drawing import draw
from models import CLIP_TEXT_WIDTH, SETTINGS, ClipPair
from namer import Namer, Names
from supply import Batch, batch_size, stacked, to_tensor
from training import Stage, train
from world import pick, random_scene

BATCH = 128
NAMED_SHARE = 0.5


def draw_captioned(rng: np.random.Generator, names: Names, count: int, named: float, keep: float | None = None) -> Batch:
    """Pictures and captions; `keep` is the share of attributes said, at random between a half and all unless given."""
    pictures, texts, looks = [], [], []
    for _ in range(count):
        name = pick(rng, names.words) if rng.random() < named else None
        scene = random_scene(rng)
        pictures.append(draw(scene))
        looks.append(scene.look if name else None)
        texts.append(caption(scene, rng, name, keep or 0.5 + 0.5 * rng.random()))
    return names.encode(texts, looks) | {"pictures": stacked(pictures)}


def draw_held_out(names: Names, seed: int) -> Batch:
    return draw_captioned(np.random.default_rng(seed), names, 1000, named=0.0, keep=0.9)


@torch.no_grad()
def retrieval(pair: ClipPair, drawn: Batch, among: int = 100) -> float:
    """How often a picture's own caption is the nearest among `among`."""
    device = next(pair.parameters()).device
    image, text = pair(to_tensor(drawn["pictures"]).to(device), drawn["ids"].to(device))
    right = [(a @ b.T).argmax(1).eq(torch.arange(len(a), device=a.device)) for a, b in zip(image.split(among), text.split(among))]
    return float(torch.cat(right).float().mean())


def train_clip(
    run: Path, minutes: float, names: Names, device: torch.device, precision: torch.dtype, initial: tuple[ClipPair, Namer] | None = None
) -> ClipPair:
    torch.manual_seed(1)
    held_out = draw_held_out(names, seed=999)
    pair, namer = initial or (ClipPair(names.tokenizer), Namer(CLIP_TEXT_WIDTH))

    def loss_of_batch(batch: Batch, _cooling: torch.Tensor) -> torch.Tensor:
        with namer.naming(pair.text, batch):
            image, text = pair(to_tensor(batch["pictures"]), batch["ids"])
        logits = pair.log_scale.exp().clamp(max=100) * image.float() @ text.float().T
        own = torch.arange(len(image), device=device)
        return (cross_entropy(logits, own) + cross_entropy(logits.T, own)) / 2

    stage = Stage("clip", minutes, learning_rate=1.5e-3, seed=1, betas=(0.9, 0.98), weight_decay=0.02)
    settings = {**SETTINGS, "vocabulary": len(names.tokenizer)}
    draw_batch = partial(draw_captioned, names=names, count=batch_size(BATCH, device), named=NAMED_SHARE)
    train(
        stage, run, settings, {"pair": pair, "namer": namer}, draw_batch, loss_of_batch, device=device, precision=precision,
        report=lambda: f"right caption of 100: {retrieval(pair, held_out):.1%}",
    )
    namer.write(pair.text, names)
    return pair
