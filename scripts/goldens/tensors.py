"""Seeded numbers, and files that hold them."""
from __future__ import annotations

import json
import math
from pathlib import Path

import torch
from safetensors.torch import save_file


def seeded(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def liven(model: torch.nn.Module, seed: int) -> torch.nn.Module:
    """Moves every parameter off its initial value, so that a swapped, skipped or mis-scaled one shows."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        is_table = "embedding" in name and parameter.ndim == 2 and "time" not in name and "add" not in name
        if "norm" in name and name.endswith("weight"):
            values = 1 + 0.2 * noise
        elif parameter.ndim == 1:
            values = 0.1 * noise
        elif is_table:
            values = 0.3 * noise
        else:
            values = noise * (1.2 / math.sqrt(parameter[0].numel()))
        parameter.data = values.half().float()  # so that a half-precision file holds the same numbers
    return model.eval().requires_grad_(False)


def save_model(model: torch.nn.Module, folder: Path, half: bool) -> None:
    """Saves float32, or the float16 variant of the same numbers."""
    if half:
        model.half().save_pretrained(folder, variant="fp16")
        model.float()
    else:
        model.save_pretrained(folder)


def save(tensors: dict[str, torch.Tensor], path: Path, about: dict | None = None) -> None:
    """Writes safetensors; `about` goes into the metadata as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    metadata = {"about": json.dumps(about, ensure_ascii=False)} if about else None
    save_file({name: tensor.contiguous().clone() for name, tensor in tensors.items()}, path, metadata=metadata)


def write_json(path: Path, value: object, indent: int | None = 1) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=indent, ensure_ascii=False), "utf-8")
