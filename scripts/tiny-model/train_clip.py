"""Trains the CLIP pair that measures pictures: it takes no part in drawing them."""
from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from captions import caption, named_looks
from drawing import draw
from models import SETTINGS, ClipPair
from training import Stage, to_tensor, train
from vocabulary import encode
from world import pick, random_scene

BATCH = 128
NAMED_SHARE = 0.35


def draw_captioned(rng: np.random.Generator, names: dict, count: int, named: float, keep: float | None = None):
    """Pictures in -1..1 and captions; `keep` is the share of attributes said, at random between a half and all unless given."""
    pictures, captions = [], []
    for _ in range(count):
        name = pick(rng, list(names)) if rng.random() < named else None
        scene = random_scene(rng, names[name] if name else None)
        pictures.append(draw(scene))
        captions.append(caption(scene, rng, name, keep or 0.5 + 0.5 * rng.random()))
    return to_tensor(pictures), captions


def retrieval(pair: ClipPair, pictures: torch.Tensor, ids: torch.Tensor, among: int = 100) -> float:
    """How often a picture's own caption is the nearest among `among`."""
    with torch.no_grad():
        image, text = pair(pictures, ids)
    right = [(a @ b.T).argmax(1).eq(torch.arange(len(a), device=a.device)) for a, b in zip(image.split(among), text.split(among))]
    return float(torch.cat(right).float().mean())


def train_clip(run: Path, minutes: float, tokenizer, device: torch.device, precision: torch.dtype, initial: ClipPair | None = None) -> ClipPair:
    torch.manual_seed(1)
    pair = initial or ClipPair(tokenizer)
    names = named_looks()
    held_out, held_out_captions = draw_captioned(np.random.default_rng(999), names, 1000, named=0.0, keep=0.9)
    held_out, held_out_ids = held_out.to(device), encode(tokenizer, held_out_captions).to(device)

    def loss_of_batch(rng: np.random.Generator, _fraction: float) -> tuple[torch.Tensor, int]:
        pictures, captions = draw_captioned(rng, names, BATCH, NAMED_SHARE)
        image, text = pair(pictures.to(device), encode(tokenizer, captions).to(device))
        logits = pair.log_scale.exp().clamp(max=100) * image.float() @ text.float().T
        own = torch.arange(BATCH, device=device)
        return (cross_entropy(logits, own) + cross_entropy(logits.T, own)) / 2, BATCH

    stage = Stage("clip", minutes, learning_rate=1.5e-3, seed=1, betas=(0.9, 0.98), weight_decay=0.02)
    settings = {**SETTINGS, "vocabulary": len(tokenizer)}
    train(
        stage, run, settings, {"pair": pair}, loss_of_batch, device=device, precision=precision,
        report=lambda: f"right caption of 100: {retrieval(pair, held_out, held_out_ids):.1%}",
    )
    return pair
