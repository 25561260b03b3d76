"""The three tiny pipelines: small in every direction, and between them every variant of the published ones."""
from __future__ import annotations

from dataclasses import dataclass

import torch
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "num_train_timesteps": 1000}
END_OF_TEXT = 49407


@dataclass(frozen=True)
class Sizes:
    """What may differ from folder to folder without a test noticing."""

    width: int = 32  # of the first text encoder
    width_2: int = 48  # of the second
    layers: int = 3  # of the first; the second has one more
    heads: int = 4
    channels: tuple[int, ...] = (32, 64, 64)
    heads_per_level: tuple[int, ...] = (2, 4, 8)
    vectors: int = 2  # of the concept
    image: tuple[int, int] = (64, 64)  # height and width that the autoencoder is tried with


SIZES = {
    "usual": Sizes(),
    "other": Sizes(width=40, width_2=56, layers=2, heads=2, channels=(48, 48, 96), heads_per_level=(3, 6, 4), vectors=3, image=(48, 72)),
}


@dataclass(frozen=True)
class TextEncoder:
    folder: str
    model: type[torch.nn.Module]
    config: CLIPTextConfig
    pad_token: str


@dataclass(frozen=True)
class Family:
    name: str
    encoders: list[TextEncoder]
    unet: dict
    scheduler: tuple[str, dict]
    scaling_factor: float
    prediction: str = "epsilon"
    half: bool = False

    @property
    def two_encoders(self) -> bool:
        return len(self.encoders) == 2


def families(sizes: Sizes) -> list[Family]:
    cross, plain = "CrossAttnDownBlock2D", "DownBlock2D"
    cross_up, plain_up = "CrossAttnUpBlock2D", "UpBlock2D"
    unet = {
        "sample_size": 8, "in_channels": 4, "out_channels": 4, "layers_per_block": 2, "block_out_channels": sizes.channels, "norm_num_groups": 8,
        "down_block_types": (cross, cross, plain), "up_block_types": (plain_up, cross_up, cross_up),
    }
    first = TextEncoder("text_encoder", CLIPTextModel, text_config(sizes, sizes.width, "quick_gelu", sizes.layers), "<|endoftext|>")
    stable_diffusion_1 = Family(
        "tiny-sd1", [first], {**unet, "cross_attention_dim": sizes.width, "attention_head_dim": sizes.heads},
        ("PNDMScheduler", {**BETAS, "skip_prk_steps": True, "set_alpha_to_one": False, "steps_offset": 1}), 0.18215,
    )
    stable_diffusion_2 = Family(
        "tiny-sd2",
        [TextEncoder("text_encoder", CLIPTextModel, text_config(sizes, sizes.width_2, "gelu", sizes.layers, pad=0), "!")],
        {**unet, "cross_attention_dim": sizes.width_2, "attention_head_dim": list(sizes.heads_per_level), "use_linear_projection": True},
        ("DDIMScheduler", {**BETAS, "prediction_type": "v_prediction", "clip_sample": False, "set_alpha_to_one": False, "steps_offset": 1}),
        0.18215, prediction="v_prediction", half=True,
    )
    second = text_config(sizes, sizes.width_2, "gelu", sizes.layers + 1, projection=sizes.width_2, pad=0)
    stable_diffusion_xl = Family(
        "tiny-sdxl",
        [first, TextEncoder("text_encoder_2", CLIPTextModelWithProjection, second, "!")],
        {
            **unet, "down_block_types": (plain, cross, cross), "up_block_types": (cross_up, cross_up, plain_up),
            "cross_attention_dim": sizes.width + sizes.width_2, "attention_head_dim": list(sizes.heads_per_level),
            "transformer_layers_per_block": [1, 2, 3], "use_linear_projection": True, "addition_embed_type": "text_time",
            "addition_time_embed_dim": 8, "projection_class_embeddings_input_dim": sizes.width_2 + 6 * 8,
        },
        ("EulerDiscreteScheduler", {**BETAS, "timestep_spacing": "leading", "steps_offset": 1}), 0.13025, half=True,
    )
    return [stable_diffusion_1, stable_diffusion_2, stable_diffusion_xl]


def text_config(sizes: Sizes, width: int, activation: str, layers: int, projection: int | None = None, pad: int = END_OF_TEXT) -> CLIPTextConfig:
    return CLIPTextConfig(
        vocab_size=49408, hidden_size=width, intermediate_size=2 * width, num_hidden_layers=layers, num_attention_heads=sizes.heads,
        max_position_embeddings=77, hidden_act=activation, bos_token_id=49406, eos_token_id=END_OF_TEXT, pad_token_id=pad,
        projection_dim=projection or width,
    )
