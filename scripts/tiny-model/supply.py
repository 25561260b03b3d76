"""Batches, drawn as they are needed: for a GPU by processes of their own, on all cores."""
from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from world import SCALE

# On the processor steps are scarcer than samples. A GPU takes so many more samples in a step of the same length.
GPU_BATCH = 8

Batch = dict[str, torch.Tensor]


def stacked(pictures: Iterable[np.ndarray]) -> torch.Tensor:
    return torch.from_numpy(np.stack(list(pictures)))


def to_tensor(pictures: torch.Tensor) -> torch.Tensor:
    """Pictures on the fat grid, `[B, GRID, GRID, 3]` in 0..255, to `[B, 3, PIXELS, PIXELS]` in -1..1."""
    return nn.functional.interpolate(pictures.permute(0, 3, 1, 2).float(), scale_factor=SCALE) / 127.5 - 1


def batch_size(on_processor: int, device: torch.device) -> int:
    return on_processor * (GPU_BATCH if device.type == "cuda" else 1)


class Drawn(IterableDataset):
    """Batches without end; each process that draws has random numbers of its own."""

    def __init__(self, draw_batch: Callable[[np.random.Generator], Batch], seed: list[int]) -> None:
        self.draw_batch, self.seed = draw_batch, seed

    def __iter__(self) -> Iterator[Batch]:
        worker = get_worker_info()
        rng = np.random.default_rng([*self.seed, worker.id if worker else 0])
        while True:
            yield self.draw_batch(rng)


def leave_ctrl_c_to_the_parent(_worker: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def drawn_batches(draw_batch: Callable[[np.random.Generator], Batch], seed: list[int], device: torch.device) -> Iterator[Batch]:
    """On a GPU all cores but one draw for it."""
    gpu = device.type == "cuda"
    workers = max(1, (os.cpu_count() or 2) - 1) if gpu else 0
    return iter(DataLoader(
        Drawn(draw_batch, seed), batch_size=None, num_workers=workers, prefetch_factor=4 if workers else None,
        worker_init_fn=leave_ctrl_c_to_the_parent,
    ))
