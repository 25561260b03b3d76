"""The networks: the classes of Stable Diffusion 1.x at a size that two cores can train."""
from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPVisionConfig, CLIPVisionModelWithProjection

from vocabulary import MAX_LENGTH
from world import GRID, SCALE

PIXELS = GRID * SCALE
LATENT_CHANNELS = 4
VAE_CHANNELS = (16, 32)
UNET_CHANNELS = (48, 96, 128)
TEXT_WIDTH, CLIP_TEXT_WIDTH = 128, 96
TRAIN_STEPS = 1000
# Trained freely, the rows of names have a length of some 150, and Adam with the learning rates of textual inversion would never reach
# them. In an export they are so many times as long: 0.3, as in Stable Diffusion (see scale_residual). A power of two changes no digit.
ROW_SCALE = 2.0 ** -9
LAYER_NORM_EPSILON = 1e-5
# A checkpoint of other settings is refused by comparing these.
SETTINGS = {
    "pixels": PIXELS, "latent_channels": LATENT_CHANNELS, "vae_channels": list(VAE_CHANNELS), "unet_channels": list(UNET_CHANNELS),
    "text_width": TEXT_WIDTH, "max_length": MAX_LENGTH,
}


def build_vae() -> AutoencoderKL:
    """Halves the side: one latent position is one fat pixel, so a nearly lossless code exists and is found within minutes."""
    return AutoencoderKL(
        in_channels=3, out_channels=3, latent_channels=LATENT_CHANNELS, block_out_channels=VAE_CHANNELS, layers_per_block=1,
        norm_num_groups=4, down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
        sample_size=PIXELS, mid_block_add_attention=False,
    )


def build_unet() -> UNet2DConditionModel:
    return UNet2DConditionModel(
        sample_size=GRID, in_channels=LATENT_CHANNELS, out_channels=LATENT_CHANNELS, layers_per_block=1,
        block_out_channels=UNET_CHANNELS, down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"), cross_attention_dim=TEXT_WIDTH,
        attention_head_dim=4, norm_num_groups=8,
    )


def text_config(tokenizer, width: int, layers: int, projection: int) -> CLIPTextConfig:
    return CLIPTextConfig(
        vocab_size=len(tokenizer), hidden_size=width, intermediate_size=2 * width, num_hidden_layers=layers, num_attention_heads=4,
        max_position_embeddings=MAX_LENGTH, hidden_act="quick_gelu", layer_norm_eps=LAYER_NORM_EPSILON, projection_dim=projection, bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )


def build_text_encoder(tokenizer) -> CLIPTextModel:
    return CLIPTextModel(text_config(tokenizer, TEXT_WIDTH, 3, TEXT_WIDTH))


def scale_residual(text_encoder: CLIPTextModel, scale: float) -> None:
    """Brings all that adds up to the states between the layers to `scale` times what it was in training. Only layer norms read those, so that the
    encoder gives what it gave, with rows of another length. The norms' epsilon goes along and tells how it is scaled now."""
    epsilon = LAYER_NORM_EPSILON * scale ** 2
    factor = (epsilon / text_encoder.config.layer_norm_eps) ** 0.5
    with torch.no_grad():
        for name, parameter in text_encoder.named_parameters():
            if "embeddings" in name or "out_proj" in name or "fc2" in name:
                parameter.mul_(factor)
    text_encoder.config.layer_norm_eps = epsilon
    for module in text_encoder.modules():
        if isinstance(module, nn.LayerNorm):
            module.eps = epsilon


@contextlib.contextmanager
def with_rows(text_encoder: CLIPTextModel, places: torch.Tensor, rows: torch.Tensor) -> Iterator[None]:
    """Inside, `rows` stand where `places` `[B, L]` of the ids is true instead of the embedding's; they broadcast to `[B, L, TEXT_WIDTH]`."""
    handle = text_encoder.get_input_embeddings().register_forward_hook(
        lambda _module, _inputs, found: torch.where(places[..., None], rows, found)
    )
    try:
        yield
    finally:
        handle.remove()


class ClipPair(nn.Module):
    """The two towers that only measure: they take no part in drawing."""

    def __init__(self, tokenizer) -> None:
        super().__init__()
        self.text = CLIPTextModelWithProjection(text_config(tokenizer, CLIP_TEXT_WIDTH, 2, 64))
        self.vision = CLIPVisionModelWithProjection(
            CLIPVisionConfig(
                hidden_size=96, intermediate_size=288, num_hidden_layers=3, num_attention_heads=4, image_size=PIXELS, patch_size=4,
                projection_dim=64, hidden_act="quick_gelu",
            )
        )
        self.log_scale = nn.Parameter(torch.tensor(1 / 0.07).log())

    def forward(self, pixels: torch.Tensor, ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        image = nn.functional.normalize(self.vision(pixels).image_embeds, dim=-1)
        text = nn.functional.normalize(self.text(ids).text_embeds, dim=-1)
        return image, text


def alphas_cumprod() -> torch.Tensor:
    """The scaled-linear schedule of Stable Diffusion 1.x."""
    betas = torch.linspace(0.00085 ** 0.5, 0.012 ** 0.5, TRAIN_STEPS) ** 2
    return torch.cumprod(1 - betas, 0)
