"""Trains the UNet and, as the latent diffusion model of the textual inversion paper did, its text encoder together."""
from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import torch

from captions import Example, example
from judges import numbered
from models import SETTINGS, TRAIN_STEPS, alphas_cumprod
from namer import Names
from supply import Batch, batch_size, stacked, to_tensor
from train_reading import KEEP, READ, told_answers
from training import Stage, train

BATCH = 16
CAPTION_DROP = 0.1
NAMED_SHARE = 0.4
# What a caption says of a picture is decided before half of the noise is gone; the rest is the same for all captions.
EARLY_SHARE, EARLY_FROM = 0.85, 300
# A mouth is three of 256 positions: where neighbours differ, a position counts this much more, until the cooldown.
DETAIL_WEIGHT = 4.0
# Of the pictures, so many more have a side that the caption says: "on the right" was the last thing to be learned.
SIDED_SHARE = 0.4
# How much it counts that the text encoder's states can be read (see CaptionReader).
READING_WEIGHT = 0.03
# min-SNR weighting, arXiv 2303.09556, with a floor: where the noise is strongest a sample's colours and layout are decided.
SNR_FLOOR, SNR_LIMIT = 0.5, 5.0


def drawn_for(rng: np.random.Generator, names: list[str], sided: bool) -> Example:
    while True:
        drawn = example(rng, names, NAMED_SHARE, rng.uniform(*KEEP))
        if not sided or f"on the {drawn.scene.side}" in drawn.caption:
            return drawn


def draw_examples(rng: np.random.Generator, names: Names, count: int) -> Batch:
    drawn = [drawn_for(rng, names.words, rng.random() < SIDED_SHARE) for _ in range(count)]
    texts = ["" if rng.random() < CAPTION_DROP else d.caption for d in drawn]
    told = [told_answers(d.scene, text, d.name) if text else {} for d, text in zip(drawn, texts)]
    return names.encode(texts, [d.scene.look if d.name else None for d in drawn]) | {
        "pictures": stacked(d.picture for d in drawn), "told": numbered(told, READ),
    }


def detail_weights(latents: torch.Tensor, most: torch.Tensor) -> torch.Tensor:
    """`[B, 1, GRID, GRID]`, mean 1: up to `1 + most` times as much where a latent differs from the mean of its neighbours."""
    around = torch.nn.functional.avg_pool2d(latents, 3, stride=1, padding=1, count_include_pad=False)
    unlike = (latents - around).square().mean(1, keepdim=True)
    weights = 1 + most * (unlike / unlike.mean((1, 2, 3), keepdim=True)).clamp(max=1)
    return weights / weights.mean((1, 2, 3), keepdim=True)


def train_diffusion(run: Path, minutes: float, names: Names, vae, device: torch.device, precision: torch.dtype, initial):
    """`initial`: UNet, text encoder, caption reader and namer. Returns the averaged UNet and text encoder, and the final checkpoint."""
    torch.manual_seed(2)
    unet, text_encoder, reader, namer = initial
    vae = vae.to(device).eval().requires_grad_(False)
    signal = alphas_cumprod().to(device)
    snr = signal / (1 - signal)

    def loss_of_batch(batch: Batch, cooling: torch.Tensor) -> torch.Tensor:
        count, ids = len(batch["ids"]), batch["ids"]
        with torch.no_grad(), torch.autocast(device.type, enabled=False):
            latents = vae.encode(to_tensor(batch["pictures"])).latent_dist.sample() * vae.config.scaling_factor
        early = torch.rand(count, device=device) < EARLY_SHARE
        t = torch.where(early, torch.randint(EARLY_FROM, TRAIN_STEPS, (count,), device=device), torch.randint(0, EARLY_FROM, (count,), device=device))
        noise = torch.randn_like(latents)
        a = signal[t].reshape(-1, 1, 1, 1)
        with namer.naming(text_encoder, batch):
            context = text_encoder(ids).last_hidden_state
        predicted = unet(a.sqrt() * latents + (1 - a).sqrt() * noise, t, encoder_hidden_states=context).sample
        # The velocity: where noise drowns the picture it is the picture. Predicting the noise instead, a small network
        # went on for thousands of steps taking the background colour from the noise and not from the words.
        target = a.sqrt() * noise - (1 - a).sqrt() * latents
        weight = snr[t].clamp(SNR_FLOOR, SNR_LIMIT) / (snr[t] + 1)
        errors = (predicted.float() - target).square() * detail_weights(latents, DETAIL_WEIGHT * cooling)
        reading = reader.loss(context, ids, batch["told"], names.tokenizer.eos_token_id)
        return (errors.mean((1, 2, 3)) * weight).mean() + READING_WEIGHT * reading

    stage = Stage(
        "diffusion", minutes, learning_rate=1.2e-3, seed=2, weight_decay=1e-3, warmup=200, decay="cooldown", ema=0.999, channels_last=True
    )
    modules = {"unet": unet, "text_encoder": text_encoder, "reader": reader, "namer": namer}
    settings = {**SETTINGS, "vocabulary": len(names.tokenizer)}
    draw_batch = partial(draw_examples, names=names, count=batch_size(BATCH, device))
    state = train(stage, run, settings, modules, draw_batch, loss_of_batch, device=device, precision=precision)
    namer.write(text_encoder, names)
    return unet, text_encoder, state
