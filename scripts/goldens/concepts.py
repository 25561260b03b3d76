"""One concept in every file format in use, saved by the library that owns the format."""
from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file

from families import Sizes
from tensors import save, seeded

TOKEN = "<cat-toy>"


def write_concepts(folder: Path, sizes: Sizes, seed: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    width = sizes.width
    one, three = seeded(1, width, seed=seed + 91), seeded(3, width, seed=seed + 92)
    clip_l, clip_g = seeded(2, width, seed=seed + 93), seeded(2, sizes.width_2, seed=seed + 94)

    save_file({TOKEN: one}, folder / "diffusers.safetensors", metadata={"format": "pt"})
    save_file({TOKEN: three}, folder / "diffusers-3.safetensors", metadata={"format": "pt"})
    torch.save({TOKEN: one}, folder / "diffusers.bin")
    torch.save({TOKEN: one[0]}, folder / "diffusers-1d.bin")
    torch.save({TOKEN: three.half()}, folder / "diffusers-3-half.bin")
    torch.save({TOKEN: three.bfloat16()}, folder / "diffusers-3-bf16.bin")
    torch.save({TOKEN: torch.nn.Parameter(three)}, folder / "diffusers-parameter.bin")
    torch.save({TOKEN: three}, folder / "diffusers-legacy-tar.bin", _use_new_zipfile_serialization=False)

    a1111 = {"name": "cat-toy", "step": 1200, "sd_checkpoint": "7460a6fa", "sd_checkpoint_name": "sd-v1-4"}
    torch.save({"string_to_token": {"*": 265}, "string_to_param": {"*": three}, **a1111}, folder / "a1111.pt")
    parameters = torch.nn.ParameterDict({"*": torch.nn.Parameter(three)})
    torch.save({"string_to_token": {"*": torch.tensor(265)}, "string_to_param": parameters}, folder / "compvis.pt")

    torch.save({"emb_params": three}, folder / "kohya.pt")
    save_file({"emb_params": three}, folder / "kohya.safetensors", metadata={"ss_training_comment": ""})
    save_file({"clip_l": clip_l, "clip_g": clip_g}, folder / "sdxl.safetensors")

    strided = torch.arange(3 * width).float().reshape(3, width).t()[:, 1:3].t()
    torch.save({"<strided>": strided}, folder / "strided.bin")
    save({"one": one, "three": three, "clip_l": clip_l, "clip_g": clip_g, "strided": strided}, folder / "expected.safetensors")
