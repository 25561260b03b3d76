"""Trains the autoencoder. Early on it is steps that are missing, not samples: batches are small."""
from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import torch

from drawing import draw
from models import SETTINGS, build_vae
from supply import Batch, batch_size, stacked, to_tensor
from training import Stage, train
from world import HIDDEN_STYLES, pick, random_scene

BATCH = 8
HIDDEN_STYLE_SHARE = 0.15  # the code must be able to hold a style that no caption tells
KL_WEIGHT = 1e-6


def draw_pictures(rng: np.random.Generator, count: int) -> Batch:
    scenes = [random_scene(rng, style=pick(rng, HIDDEN_STYLES) if rng.random() < HIDDEN_STYLE_SHARE else None) for _ in range(count)]
    return {"pictures": stacked(map(draw, scenes))}


def psnr(vae, pictures: torch.Tensor) -> float:
    with torch.no_grad():
        made = vae.decode(vae.encode(pictures).latent_dist.mean).sample.clamp(-1, 1)
    return float(-10 * torch.log10(((made - pictures) / 2).square().mean()))


def train_vae(run: Path, minutes: float, device: torch.device, precision: torch.dtype):
    torch.manual_seed(0)
    vae = build_vae()
    held_out = to_tensor(draw_pictures(np.random.default_rng(999), 200)["pictures"]).to(device)

    def loss_of_batch(batch: Batch, _cooling: torch.Tensor) -> torch.Tensor:
        pictures = to_tensor(batch["pictures"])
        code = vae.encode(pictures).latent_dist
        error = vae.decode(code.sample()).sample.float() - pictures
        return error.abs().mean() + 2 * error.square().mean() + KL_WEIGHT * code.kl().mean()

    stage = Stage("vae", minutes, learning_rate=2e-3, seed=0, warmup=50)
    train(
        stage, run, SETTINGS, {"vae": vae}, partial(draw_pictures, count=batch_size(BATCH, device)), loss_of_batch, device=device, precision=precision,
        report=lambda: f"PSNR {psnr(vae, held_out):.1f} dB",
    )
    with torch.no_grad():
        latents = vae.encode(to_tensor(draw_pictures(np.random.default_rng(5), 500)["pictures"]).to(device)).latent_dist.mean
    vae.register_to_config(scaling_factor=float(1 / latents.std()))
    return vae
