"""Builds a tiny pipeline in the diffusers folder layout."""
from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import diffusers
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTokenizer

from families import Family
from tensors import liven, save_model, write_json
from vocabulary import write_tokenizer


@dataclass(frozen=True)
class Pipeline:
    family: Family
    encoders: list[torch.nn.Module]
    tokenizers: list[CLIPTokenizer]
    unet: UNet2DConditionModel
    vae: AutoencoderKL


def build(family: Family, root: Path, merges_file: Path, seed: int) -> Pipeline:
    """Makes the networks, moves their parameters, and saves everything below `root`."""
    encoders, tokenizers = [], []
    for i, spec in enumerate(family.encoders):
        encoder = liven(spec.model(spec.config), seed * 100 + 1 + i)
        save_model(encoder, root / spec.folder, family.half)
        folder = root / spec.folder.replace("text_encoder", "tokenizer")
        write_tokenizer(folder, merges_file, spec.pad_token)
        encoders.append(encoder)
        tokenizers.append(CLIPTokenizer.from_pretrained(folder))
    unet = liven(UNet2DConditionModel(**family.unet), seed * 100 + 11)
    save_model(unet, root / "unet", family.half)
    vae = liven(AutoencoderKL(
        in_channels=3, out_channels=3, latent_channels=4, block_out_channels=(16, 32, 32, 32), layers_per_block=1, norm_num_groups=8,
        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4, sample_size=64,
        scaling_factor=family.scaling_factor,
    ), seed * 100 + 12)
    save_model(vae, root / "vae", family.half)
    scheduler, settings = family.scheduler
    getattr(diffusers, scheduler)(**settings).save_pretrained(root / "scheduler")
    write_json(root / "model_index.json", model_index(family))
    return Pipeline(family, encoders, tokenizers, unet, vae)


def model_index(family: Family) -> dict:
    index = {
        "_class_name": "StableDiffusionXLPipeline" if family.two_encoders else "StableDiffusionPipeline", "_diffusers_version": diffusers.__version__,
        "scheduler": ["diffusers", family.scheduler[0]], "unet": ["diffusers", "UNet2DConditionModel"], "vae": ["diffusers", "AutoencoderKL"],
        "text_encoder": ["transformers", "CLIPTextModel"], "tokenizer": ["transformers", "CLIPTokenizer"],
    }
    if family.two_encoders:
        index |= {
            "text_encoder_2": ["transformers", "CLIPTextModelWithProjection"], "tokenizer_2": ["transformers", "CLIPTokenizer"],
            "force_zeros_for_empty_prompt": True,
        }
    return index
