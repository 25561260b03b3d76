"""Rewrites the tiny pipelines the way the published checkpoints are laid out, numbers untouched.

tiny-sd1   as Stable Diffusion 1.x was published (diffusers 0.6): prefix `text_model.`, a position_ids buffer, eos_token_id 2, attention of the
           autoencoder named query/key/value/proj_attn, configs that hold only the keys of that time, an index that names a safety checker.
tiny-sd2   with the prefix, without the buffer, today's names in the autoencoder.
tiny-sdxl  as the current libraries save it (first encoder without the prefix), but eos_token_id 2 too.
"""
from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from tensors import write_json

OLD_UNET_KEYS = [
    "_class_name", "_diffusers_version", "act_fn", "attention_head_dim", "block_out_channels", "center_input_sample", "cross_attention_dim",
    "down_block_types", "downsample_padding", "flip_sin_to_cos", "freq_shift", "in_channels", "layers_per_block", "mid_block_scale_factor",
    "norm_eps", "norm_num_groups", "out_channels", "sample_size", "up_block_types",
]
OLD_VAE_KEYS = [
    "_class_name", "_diffusers_version", "act_fn", "block_out_channels", "down_block_types", "in_channels", "latent_channels", "layers_per_block",
    "norm_num_groups", "out_channels", "sample_size", "up_block_types",
]
OLD_SCHEDULER = {
    "_class_name": "PNDMScheduler", "_diffusers_version": "0.6.0", "beta_end": 0.012, "beta_schedule": "scaled_linear", "beta_start": 0.00085,
    "num_train_timesteps": 1000, "set_alpha_to_one": False, "skip_prk_steps": True, "steps_offset": 1, "trained_betas": None, "clip_sample": False,
}
OLD_ATTENTION = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
OLD = {"_diffusers_version": "0.6.0"}
WRONG_IDS = {"bos_token_id": 0, "eos_token_id": 2, "pad_token_id": 1}  # what all published text encoders say


def publish(out: Path) -> None:
    sd1, sd2, sdxl = (out / name for name in ("tiny-sd1", "tiny-sd2", "tiny-sdxl"))
    positions = {"text_model.embeddings.position_ids": torch.arange(77)[None]}
    rename(sd1 / "text_encoder/model.safetensors", prefixed, positions)
    rename(sd1 / "vae/diffusion_pytorch_model.safetensors", old_attention)
    edit(sd1 / "unet/config.json", lambda config: {**{key: config[key] for key in OLD_UNET_KEYS}, **OLD})
    edit(sd1 / "vae/config.json", lambda config: {**{key: config[key] for key in OLD_VAE_KEYS}, **OLD})
    edit(sd1 / "text_encoder/config.json", lambda config: {
        **{key: value for key, value in config.items() if key != "dtype"}, **WRONG_IDS, "torch_dtype": "float32", "dropout": 0.0,
        "transformers_version": "4.22.0.dev0",
    })
    edit(sd1 / "scheduler/scheduler_config.json", lambda _: OLD_SCHEDULER)
    edit(sd1 / "model_index.json", lambda index: {
        **index, **OLD, "feature_extractor": ["transformers", "CLIPImageProcessor"],
        "safety_checker": ["stable_diffusion", "StableDiffusionSafetyChecker"],
    })
    rename(sd2 / "text_encoder/model.fp16.safetensors", prefixed)
    for folder in (sd2 / "text_encoder", sdxl / "text_encoder", sdxl / "text_encoder_2"):
        edit(folder / "config.json", lambda config: {**config, **WRONG_IDS})


def edit(path: Path, change: Callable[[dict], dict]) -> None:
    write_json(path, change(json.loads(path.read_text("utf-8"))))


def rename(path: Path, change: Callable[[str], str], extra: dict[str, torch.Tensor] | None = None) -> None:
    tensors = {change(name): tensor for name, tensor in load_file(path).items()}
    save_file({**tensors, **(extra or {})}, path, metadata={"format": "pt"})


def prefixed(name: str) -> str:
    return name if name.startswith(("text_model.", "text_projection")) else f"text_model.{name}"


def old_attention(name: str) -> str:
    if "mid_block.attentions." in name:
        for new, old in OLD_ATTENTION.items():
            name = name.replace(f".{new}.", f".{old}.")
    return name
