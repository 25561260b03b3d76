"""Judges of pictures: readers that look at the pixels, and a classifier trained on drawn pictures."""
from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn

from drawing import draw
from models import PIXELS
from supply import Batch, batch_size, stacked, to_tensor
from training import Stage, train
from world import BACKGROUNDS, BESIDE, COLOURS, MOUTHS, PATTERNS, SCENES, SHAPES, SIDES, STYLES, TOPS, Scene, hue_word, random_scene

BATCH = 64
ATTRIBUTES = {
    "hue": list(COLOURS), "pattern": list(PATTERNS), "top": list(TOPS), "shape": list(SHAPES), "mouth": list(MOUTHS), "eyes": ["one", "two", "three"],
    "hat": ["no", "hat"], "balloon": ["no", "balloon"], "beside": ["nothing", *BESIDE], "style": list(STYLES),
    "background": [*BACKGROUNDS, *SCENES], "count": ["one", "two", "three"], "size": ["small", "big"], "side": list(SIDES),
}


def answers(scene: Scene) -> dict[str, str]:
    look = scene.look
    return {
        "hue": hue_word(look.hue), "pattern": look.pattern, "top": look.top, "shape": look.shape, "mouth": look.mouth,
        "eyes": ("one", "two", "three")[look.eyes - 1], "hat": "hat" if scene.hat else "no", "balloon": "balloon" if scene.balloon else "no",
        "beside": scene.beside or "nothing", "style": scene.style, "background": scene.background,
        "count": ("one", "two", "three")[scene.count - 1], "size": scene.size, "side": scene.side,
    }


def visible(scene: Scene) -> set[str]:
    """The attributes that the picture of a scene shows at all."""
    seen = set(ATTRIBUTES)
    if scene.hat:
        seen.discard("top")
    if scene.style not in ("photo", "night"):
        seen -= {"hue", "background"}
    if scene.style == "outline":
        seen.discard("pattern")
    if scene.count > 1:
        seen -= {"size", "side"}
    return seen


def said(scene: Scene, text: str) -> set[str]:
    """The attributes of a scene that its caption tells."""
    told = {name for name, value in answers(scene).items() if re.search(rf"\b{value}s?\b", text)}
    told -= {"background", "hue", "style", "count", "eyes"}
    if re.search(rf"with {answers(scene)['eyes']} eye", text):
        told.add("eyes")
    if re.search(rf"\b{scene.background} background", text) or SCENES.get(scene.background, "-") in text:
        told.add("background")
    before_noun = text.split(" monster")[0]
    if re.search(rf"\b{hue_word(scene.look.hue)}\b", before_noun) and scene.style in ("photo", "night"):
        told.add("hue")
    return (told | {"count", "style"}) & visible(scene)


def background_word(picture: np.ndarray) -> str:
    """The background colour nearest to the top rows, which no thing reaches."""
    colour = np.median(picture[:2].reshape(-1, 3), 0)
    return min(BACKGROUNDS, key=lambda word: float(np.square(colour - BACKGROUNDS[word]).sum()))


def figure_columns(picture: np.ndarray) -> np.ndarray:
    """Which columns hold a body: at least three fat pixels unlike the background (an arm has two)."""
    colour = np.median(picture[:2].reshape(-1, 3), 0)
    unlike = np.abs(picture.astype(int) - colour).max(-1) > 40
    return unlike.sum(0) >= 3


def runs(columns: np.ndarray) -> list[tuple[int, int]]:
    """Starts and ends of the stretches of at least two columns."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], columns.astype(int), [0]])))
    return [(a, b) for a, b in zip(edges[::2], edges[1::2]) if b - a >= 2]


def read_figure(picture: np.ndarray) -> dict[str, str]:
    """Count, size and side, for pictures on a plain background with nothing beside the monsters."""
    bodies = runs(figure_columns(picture))
    count = ("none", "one", "two", "three")[min(3, len(bodies))]
    if not bodies:
        return {"count": count, "size": "none", "side": "none"}
    first, last = bodies[0][0], bodies[-1][1]
    middle = (first + last) / 2
    side = "left" if middle < 6.75 else "right" if middle > 9.25 else "middle"
    return {"count": count, "size": "big" if last - first >= 7 else "small", "side": side}


def readable(scene: Scene) -> bool:
    return scene.style == "photo" and scene.background in BACKGROUNDS and not scene.beside and not scene.balloon


class Classifier(nn.Module):
    def __init__(self) -> None:
        super().__init__()

        def block(a: int, b: int, stride: int = 1) -> nn.Sequential:
            return nn.Sequential(nn.Conv2d(a, b, 3, stride, 1), nn.GroupNorm(8, b), nn.SiLU())

        self.body = nn.Sequential(
            nn.AvgPool2d(2), block(3, 32), block(32, 64, 2), block(64, 96), block(96, 128, 2),
            nn.Flatten(), nn.Linear(128 * (PIXELS // 8) ** 2, 256), nn.SiLU(),
        )
        self.heads = nn.ModuleDict({name: nn.Linear(256, len(values)) for name, values in ATTRIBUTES.items()})

    def forward(self, pixels: torch.Tensor) -> dict[str, torch.Tensor]:
        features = self.body(pixels)
        return {name: head(features) for name, head in self.heads.items()}


def numbered(found: list[dict[str, str]], values: dict[str, list[str]]) -> torch.Tensor:
    """Answers as numbers `[B, len(values)]`, -1 where there is none."""
    return torch.tensor([[known.index(given[name]) if name in given else -1 for name, known in values.items()] for given in found])


def answer_loss(logits: dict[str, torch.Tensor], right: torch.Tensor) -> torch.Tensor:
    """The sum over the attributes of the mean cross-entropy; `right` is of `numbered`, in the order of `logits`."""
    losses = []
    for read, target in zip(logits.values(), right.unbind(1)):
        loss = nn.functional.cross_entropy(read.float(), target, ignore_index=-1, reduction="sum")
        losses.append(loss / (target >= 0).sum().clamp(min=1))
    return torch.stack(losses).sum()


def draw_answered(rng: np.random.Generator, count: int) -> Batch:
    scenes = [random_scene(rng) for _ in range(count)]
    found = [{k: v for k, v in answers(s).items() if k in seen} for s, seen in ((s, visible(s)) for s in scenes)]
    return {"pictures": stacked(map(draw, scenes)), "answers": numbered(found, ATTRIBUTES)}


def train_classifier(run: Path, minutes: float, device: torch.device, precision: torch.dtype) -> Classifier:
    torch.manual_seed(3)
    classifier = Classifier()

    def loss_of_batch(batch: Batch, _cooling: torch.Tensor) -> torch.Tensor:
        # A little noise and a change of tone: drawn colours are exact, those of the model are nearly so.
        pixels = to_tensor(batch["pictures"])
        pixels = pixels + 0.05 * torch.randn_like(pixels) + 0.05 * torch.randn(len(pixels), 3, 1, 1, device=device)
        return answer_loss(classifier(pixels), batch["answers"])

    stage = Stage("classifier", minutes, learning_rate=1.5e-3, seed=3, weight_decay=1e-3)
    settings = {"pixels": PIXELS, "attributes": {k: list(v) for k, v in ATTRIBUTES.items()}}
    draw_batch = partial(draw_answered, count=batch_size(BATCH, device))
    train(stage, run, settings, {"classifier": classifier}, draw_batch, loss_of_batch, device=device, precision=precision)
    return classifier


@torch.no_grad()
def classify(classifier: Classifier, pictures: np.ndarray) -> list[dict[str, str]]:
    logits = classifier(to_tensor(stacked(pictures)).to(next(classifier.parameters()).device))
    numbers = {name: values.argmax(1).tolist() for name, values in logits.items()}
    return [{name: ATTRIBUTES[name][numbers[name][i]] for name in ATTRIBUTES} for i in range(len(pictures))]
