"""Draws pictures with an export: DPM-Solver++ with classifier-free guidance, one seed a picture."""
from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, DPMSolverMultistepScheduler, UNet2DConditionModel
from transformers import CLIPTextModel

from vocabulary import encode
from world import GRID, SCALE

STEPS = 20
GUIDANCE = 2.25
BATCH = 32


class Painter:
    """The parts of a pipeline, and how a prompt becomes a picture on the fat grid."""

    def __init__(self, folder: Path, tokenizer, vae: AutoencoderKL, unet: UNet2DConditionModel, text_encoder: CLIPTextModel) -> None:
        self.tokenizer, self.vae, self.unet, self.text_encoder = tokenizer, vae.eval(), unet.eval(), text_encoder.eval()
        self.scheduler = DPMSolverMultistepScheduler.from_pretrained(folder / "scheduler")
        self.device = unet.device

    @torch.no_grad()
    def paint(self, prompts: Sequence[str], seeds: Sequence[int], guidance: float = GUIDANCE, steps: int = STEPS) -> np.ndarray:
        """Returns `[N, GRID, GRID, 3]` uint8."""
        parts = [
            self._paint(prompts[i:i + BATCH], seeds[i:i + BATCH], guidance, steps) for i in range(0, len(prompts), BATCH)
        ]
        return np.concatenate(parts)

    def _paint(self, prompts: Sequence[str], seeds: Sequence[int], guidance: float, steps: int) -> np.ndarray:
        ids = encode(self.tokenizer, [*prompts, *[""] * len(prompts)]).to(self.device)
        context = self.text_encoder(ids).last_hidden_state
        shape = (self.unet.config.in_channels, GRID, GRID)
        latents = torch.stack([torch.randn(shape, generator=torch.Generator().manual_seed(int(s))) for s in seeds]).to(self.device)
        self.scheduler.set_timesteps(steps)
        for t in self.scheduler.timesteps:
            noise = self.unet(torch.cat([latents, latents]), t, encoder_hidden_states=context).sample
            told, untold = noise.chunk(2)
            latents = self.scheduler.step(untold + guidance * (told - untold), t, latents).prev_sample
        pixels = self.vae.decode(latents / self.vae.config.scaling_factor).sample
        return to_fat(pixels)


def to_fat(pixels: torch.Tensor) -> np.ndarray:
    """`[N, 3, PIXELS, PIXELS]` in -1..1 to fat pixels: the mean of each block."""
    fat = torch.nn.functional.avg_pool2d(pixels.clamp(-1, 1), SCALE)
    return ((fat + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()


def sheet(rows: Sequence[Sequence[np.ndarray]], zoom: int = 6, gap: int = 2) -> np.ndarray:
    """Fat pictures side by side, enlarged with hard edges."""
    framed = [[np.pad(p.repeat(zoom, 0).repeat(zoom, 1), ((gap, gap), (gap, gap), (0, 0)), constant_values=255) for p in row] for row in rows]
    return np.concatenate([np.concatenate(row, 1) for row in framed])
