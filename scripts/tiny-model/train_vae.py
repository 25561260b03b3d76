"""Trains the autoencoder. Early on it is steps that are missing, not samples: batches are small."""
from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from drawing import draw
from models import SETTINGS, build_vae
from training import Stage, to_tensor, train
from world import HIDDEN_STYLES, pick, random_scene

BATCH = 8
HIDDEN_STYLE_SHARE = 0.15  # the code must be able to hold a style that no caption tells
KL_WEIGHT = 1e-6


def draw_batch(rng: np.random.Generator, count: int) -> torch.Tensor:
    scenes = [random_scene(rng, style=pick(rng, HIDDEN_STYLES) if rng.random() < HIDDEN_STYLE_SHARE else None) for _ in range(count)]
    return to_tensor([draw(scene) for scene in scenes])


def psnr(vae, pictures: torch.Tensor) -> float:
    with torch.no_grad():
        made = vae.decode(vae.encode(pictures).latent_dist.mean).sample.clamp(-1, 1)
    return float(-10 * torch.log10(((made - pictures) / 2).square().mean()))


def train_vae(run: Path, minutes: float, device: torch.device, precision: torch.dtype, initial=None):
    torch.manual_seed(0)
    vae = initial or build_vae()
    held_out = draw_batch(np.random.default_rng(999), 200).to(device)

    def loss_of_batch(rng: np.random.Generator, _fraction: float) -> tuple[torch.Tensor, int]:
        pictures = draw_batch(rng, BATCH).to(device)
        code = vae.encode(pictures).latent_dist
        error = vae.decode(code.sample()).sample.float() - pictures
        return error.abs().mean() + 2 * error.square().mean() + KL_WEIGHT * code.kl().mean(), BATCH

    stage = Stage("vae", minutes, learning_rate=2e-3, seed=0, warmup=50)
    train(
        stage, run, SETTINGS, {"vae": vae}, loss_of_batch, device=device, precision=precision,
        report=lambda: f"PSNR {psnr(vae, held_out):.1f} dB",
    )
    with torch.no_grad():
        latents = vae.encode(draw_batch(np.random.default_rng(5), 500).to(device)).latent_dist.mean
    vae.register_to_config(scaling_factor=float(1 / latents.std()))
    return vae
