"""A name for anyone: the row of the embedding that stands for an individual, made from its portrait.

Six hundred names with rows of their own, each seen some hundred times, told no more of an individual than a caption does. Made
by one network from the portrait, the rows of all individuals are learned together, and nearby rows mean similar
individuals: that is the space in which textual inversion looks for a new word.
"""
from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator

import torch
from torch import nn
from transformers import CLIPTextModel

from captions import named_looks
from drawing import draw
from models import with_rows
from supply import Batch
from vocabulary import encode
from world import GRID, Look, Scene

HIDDEN = 256
FIT_STEPS = 400


def draw_portraits(looks: Iterable[Look | None]) -> torch.Tensor:
    """Every individual alone, `[N, GRID, GRID, 3]` in 0..255; a canvas without anyone where there is none."""
    nobody = torch.zeros(GRID, GRID, 3, dtype=torch.uint8)
    return torch.stack([torch.from_numpy(draw(Scene(look, "gray"))) if look else nobody for look in looks])


class Names:
    """The made-up words of the vocabulary. Each has an individual of its own and, in training, stands for anyone."""

    def __init__(self, tokenizer) -> None:
        self.tokenizer, self.looks = tokenizer, named_looks()
        self.words = list(self.looks)
        self.ids = encode(tokenizer, self.words)[:, 1]

    def encode(self, texts: list[str], looks: Iterable[Look | None]) -> Batch:
        """Captions as ids, where a name is among them, and whom it stands for there."""
        ids = encode(self.tokenizer, texts)
        return {"ids": ids, "named": torch.isin(ids, self.ids), "portraits": draw_portraits(looks)}


class Namer(nn.Module):
    """It only trains: an export has the rows that it makes for the names of the vocabulary."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(3 * GRID * GRID, HIDDEN), nn.GELU(), nn.Linear(HIDDEN, HIDDEN), nn.GELU(), nn.Linear(HIDDEN, width),
        )

    def forward(self, portraits: torch.Tensor) -> torch.Tensor:
        """`[N, GRID, GRID, 3]` of `draw_portraits` to rows `[N, width]`."""
        return self.layers(portraits.float().flatten(1) / 127.5 - 1).float()

    @contextlib.contextmanager
    def naming(self, text_encoder: CLIPTextModel, batch: Batch) -> Iterator[None]:
        """Inside, a name in a batch of `Names.encode` means the individual of its portrait."""
        with with_rows(text_encoder, batch["named"], self(batch["portraits"])[:, None]):
            yield

    @torch.no_grad()
    def write(self, text_encoder: CLIPTextModel, names: Names) -> None:
        """Writes the rows of the names' own individuals into the embedding."""
        rows = text_encoder.get_input_embeddings().weight
        rows[names.ids.to(rows.device)] = self(draw_portraits(names.looks.values()).to(rows.device))


def fitted_namer(text_encoder: CLIPTextModel, names: Names) -> Namer:
    """One that makes the names' rows of an export, to go on from it."""
    rows = text_encoder.get_input_embeddings().weight.detach()[names.ids]
    portraits, namer = draw_portraits(names.looks.values()), Namer(rows.shape[1])
    optimizer = torch.optim.AdamW(namer.parameters(), lr=1e-3, weight_decay=0.1)
    for _ in range(FIT_STEPS):
        loss = (namer(portraits) - rows).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return namer
