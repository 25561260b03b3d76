"""Config, and name, type and shape of every tensor, of checkpoints as they are published. No numbers.

Names and shapes are those of today's classes at the published configs, renamed to what the published files hold (see publish.py).
"""
from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from publish import old_attention, prefixed

CROSS, DOWN, UP, CROSS_UP = "CrossAttnDownBlock2D", "DownBlock2D", "UpBlock2D", "CrossAttnUpBlock2D"


@dataclass(frozen=True)
class Part:
    model: type[torch.nn.Module]
    config: dict
    dtype: str
    old_names: bool  # position_ids in a text encoder, query/key/value in an autoencoder


def text_config(**sizes: object) -> dict:
    return {
        "architectures": ["CLIPTextModel"], "attention_dropout": 0.0, "bos_token_id": 0, "dropout": 0.0, "eos_token_id": 2,
        "initializer_factor": 1.0, "initializer_range": 0.02, "layer_norm_eps": 1e-5, "max_position_embeddings": 77,
        "model_type": "clip_text_model", "pad_token_id": 1, "vocab_size": 49408, **sizes,
    }


CLIP_L = text_config(
    hidden_act="quick_gelu", hidden_size=768, intermediate_size=3072, num_attention_heads=12, num_hidden_layers=12, projection_dim=768,
)
OPEN_CLIP_H = text_config(
    hidden_act="gelu", hidden_size=1024, intermediate_size=4096, num_attention_heads=16, num_hidden_layers=23, projection_dim=512,
)
OPEN_CLIP_G = {
    **text_config(hidden_act="gelu", hidden_size=1280, intermediate_size=5120, num_attention_heads=20, num_hidden_layers=32, projection_dim=1280),
    "architectures": ["CLIPTextModelWithProjection"],
}
VAE = {
    "_class_name": "AutoencoderKL", "_diffusers_version": "0.6.0", "act_fn": "silu", "block_out_channels": [128, 256, 512, 512],
    "down_block_types": ["DownEncoderBlock2D"] * 4, "in_channels": 3, "latent_channels": 4, "layers_per_block": 2, "norm_num_groups": 32,
    "out_channels": 3, "sample_size": 512, "up_block_types": ["UpDecoderBlock2D"] * 4,
}
UNET = {
    "_class_name": "UNet2DConditionModel", "_diffusers_version": "0.6.0", "act_fn": "silu", "attention_head_dim": 8,
    "block_out_channels": [320, 640, 1280, 1280], "center_input_sample": False, "cross_attention_dim": 768,
    "down_block_types": [CROSS, CROSS, CROSS, DOWN], "downsample_padding": 1, "flip_sin_to_cos": True, "freq_shift": 0, "in_channels": 4,
    "layers_per_block": 2, "mid_block_scale_factor": 1, "norm_eps": 1e-5, "norm_num_groups": 32, "out_channels": 4, "sample_size": 64,
    "up_block_types": [UP, CROSS_UP, CROSS_UP, CROSS_UP],
}
UNET_2 = {
    **UNET, "_diffusers_version": "0.10.0.dev0", "attention_head_dim": [5, 10, 20, 20], "cross_attention_dim": 1024, "dual_cross_attention": False,
    "num_class_embeds": None, "only_cross_attention": False, "sample_size": 96, "upcast_attention": True, "use_linear_projection": True,
}
UNET_XL = {
    **UNET, "_diffusers_version": "0.19.0.dev0", "addition_embed_type": "text_time", "addition_embed_type_num_heads": 64,
    "addition_time_embed_dim": 256, "attention_head_dim": [5, 10, 20], "block_out_channels": [320, 640, 1280], "cross_attention_dim": 2048,
    "down_block_types": [DOWN, CROSS, CROSS], "up_block_types": [CROSS_UP, CROSS_UP, UP], "projection_class_embeddings_input_dim": 2816,
    "sample_size": 128, "transformer_layers_per_block": [1, 2, 10], "use_linear_projection": True, "upcast_attention": None,
    "num_attention_heads": None,
}
BETAS = {"beta_end": 0.012, "beta_schedule": "scaled_linear", "beta_start": 0.00085}

CHECKPOINTS: dict[str, dict[str, Part | dict]] = {
    "stable-diffusion-v1-5": {
        "text_encoder": Part(CLIPTextModel, CLIP_L, "F32", True),
        "unet": Part(UNet2DConditionModel, UNET, "F32", False),
        "vae": Part(AutoencoderKL, VAE, "F32", True),
        "scheduler": {
            "_class_name": "PNDMScheduler", "_diffusers_version": "0.6.0", **BETAS, "num_train_timesteps": 1000, "set_alpha_to_one": False,
            "skip_prk_steps": True, "steps_offset": 1, "trained_betas": None, "clip_sample": False,
        },
    },
    "stable-diffusion-2-1": {
        "text_encoder": Part(CLIPTextModel, OPEN_CLIP_H, "F32", True),
        "unet": Part(UNet2DConditionModel, UNET_2, "F32", False),
        "vae": Part(AutoencoderKL, {**VAE, "sample_size": 768}, "F32", True),
        "scheduler": {
            "_class_name": "DDIMScheduler", **BETAS, "clip_sample": False, "num_train_timesteps": 1000, "prediction_type": "v_prediction",
            "set_alpha_to_one": False, "skip_prk_steps": True, "steps_offset": 1, "trained_betas": None,
        },
    },
    "stable-diffusion-xl-base-1.0": {
        "text_encoder": Part(CLIPTextModel, CLIP_L, "F16", True),
        "text_encoder_2": Part(CLIPTextModelWithProjection, OPEN_CLIP_G, "F16", True),
        "unet": Part(UNet2DConditionModel, UNET_XL, "F16", False),
        "vae": Part(
            AutoencoderKL, {**VAE, "_diffusers_version": "0.20.0.dev0", "force_upcast": True, "sample_size": 1024, "scaling_factor": 0.13025}, "F16", False,
        ),
        "scheduler": {
            "_class_name": "EulerDiscreteScheduler", "_diffusers_version": "0.19.0.dev0", **BETAS, "clip_sample": False,
            "interpolation_type": "linear", "num_train_timesteps": 1000, "prediction_type": "epsilon", "sample_max_value": 1.0,
            "set_alpha_to_one": False, "skip_prk_steps": True, "steps_offset": 1, "timestep_spacing": "leading", "trained_betas": None,
            "use_karras_sigmas": False,
        },
    },
}


def write_layouts(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, parts in CHECKPOINTS.items():
        blocks = ",\n".join(f" {json.dumps(part)}: {layout(part, spec)}" for part, spec in parts.items())
        (folder / f"{name}.json").write_text(f"{{\n{blocks}\n}}\n", "utf-8")


def layout(part: str, spec: Part | dict) -> str:
    """JSON with one tensor a line."""
    if isinstance(spec, dict):
        return f'{{\n  "config": {json.dumps(spec)}\n }}'
    rows = ",\n".join(f"   {json.dumps(name)}: {json.dumps(entry)}" for name, entry in sorted(tensors_of(part, spec).items()))
    return f'{{\n  "config": {json.dumps(spec.config)},\n  "tensors": {{\n{rows}\n  }}\n }}'


def tensors_of(part: str, spec: Part) -> dict[str, list]:
    """Type and shape by published name."""
    is_text = part.startswith("text")
    foreign = ("architectures", "dropout") if is_text else tuple(key for key in spec.config if key.startswith("_"))
    known = {key: value for key, value in spec.config.items() if key not in foreign}
    with torch.device("meta"):
        model = spec.model(CLIPTextConfig(**known)) if is_text else spec.model(**known)
    shapes = {name: [spec.dtype, list(tensor.shape)] for name, tensor in model.state_dict().items() if "position_ids" not in name}
    if is_text:
        shapes = {prefixed(name): entry for name, entry in shapes.items()}
        if spec.old_names:
            shapes["text_model.embeddings.position_ids"] = ["I64", [1, 77]]
    elif spec.old_names:
        shapes = {old_attention(name): entry for name, entry in shapes.items()}
    return shapes
