"""Draws the concept sets of examples/concepts: individuals without a name, and styles that no caption tells."""
from __future__ import annotations

import argparse
import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from captions import caption
from drawing import draw
from world import STYLES as KNOWN_STYLES, Look, Scene, enlarge, random_look

CANDIDATES_SEED = 2024
INDIVIDUALS = {"dotti": 0, "zebro": 12, "minto": 6, "bumbu": 55, "lemmi": 25, "foxi": 45}  # name: number among the candidates
STYLES = {
    "ember": ("fire", "four colours from soot to flame"),
    "candy": ("candy", "four colours of a sweet shop"),
    "blueprint": ("blueprint", "white lines on blue paper"),
}
# The training pictures show the individual in other surroundings each time, so that these are not learned with it.
TRAINING = (
    dict(background="blue", size="big", side="middle"),
    dict(background="beach", size="big", side="left", jitter=-1),
    dict(background="yellow", size="small", side="right", flip=True),
    dict(background="white", size="big", side="right", flip=True, jitter=1),
)
HELD_OUT = (
    dict(background="green", size="big", side="middle"),
    dict(background="pink", size="big", side="left", flip=True),
    dict(background="forest", size="big", side="right"),
    dict(background="gray", size="big", side="middle", jitter=1),
    dict(background="purple", size="big", side="middle", flip=True),
    dict(background="night", size="big", side="left"),
    dict(background="orange", size="small", side="middle"),
    dict(background="black", size="big", side="right", jitter=-1),
)
STYLE_TRAINING = (
    dict(background="white", size="big", side="middle"),
    dict(background="beach", size="big", side="left"),
    dict(background="blue", size="small", side="right", beside="house"),
    dict(background="forest", size="small", count=2),
)
STYLE_HELD_OUT = (
    dict(background="yellow", size="big", side="middle"),
    dict(background="pink", size="big", side="right", hat=True),
    dict(background="night", size="big", side="left"),
    dict(background="green", size="small", side="left", beside="tree"),
    dict(background="gray", size="small", count=2),
    dict(background="beach", size="big", side="middle"),
    dict(background="orange", size="big", side="left"),
    dict(background="white", size="small", count=3),
)


@dataclass(frozen=True)
class ConceptSet:
    name: str
    kind: str  # object or style
    best_caption: str
    description: str
    training: list[Scene]
    held_out: list[Scene]

    @property
    def captions(self) -> list[str]:
        """One for each training picture, `{}` for the word: what a caption tells is not learned with the word."""
        return [scene_caption(scene) if self.kind == "object" else style_caption(scene) for scene in self.training]


def scene_caption(scene: Scene) -> str:
    """All that words can tell about the surroundings of an individual."""
    return caption(scene, _NoChoice(), "{}", keep=1.0)


def style_caption(scene: Scene) -> str:
    """All that words can tell about a picture whose colours are its style's."""
    return caption(replace(scene, style="gray"), _NoChoice(), keep=1.0).replace(KNOWN_STYLES["gray"], "a {} of")


def full_caption(look: Look) -> str:
    """All that words can tell about an individual."""
    scene = Scene(look, "white", size="unsaid")
    words = caption(scene, _NoChoice(), keep=1.0)
    return words.replace(" unsaid", "").split(" on a white background")[0]


class _NoChoice:
    """Stands for the random generator where the plainest of all phrasings is wanted."""

    def random(self) -> float:
        return 0.5


def concept_sets() -> list[ConceptSet]:
    rng = np.random.default_rng(CANDIDATES_SEED)
    looks = [random_look(rng) for _ in range(60)]
    sets = []
    for name, number in INDIVIDUALS.items():
        look = looks[number]
        training = [Scene(look, **s, seed=i) for i, s in enumerate(TRAINING)]
        held_out = [Scene(look, **s, seed=100 + i) for i, s in enumerate(HELD_OUT)]
        text = full_caption(look)
        sets.append(ConceptSet(name, "object", text, f"One individual monster; no caption tells it from its like. {text[11:].capitalize()}.", training, held_out))
    for i, (name, (style, told)) in enumerate(STYLES.items()):
        rng = np.random.default_rng([CANDIDATES_SEED, i])
        training = [Scene(random_look(rng), **s, style=style, seed=j) for j, s in enumerate(STYLE_TRAINING)]
        held_out = [Scene(random_look(rng), **s, style=style, seed=100 + j) for j, s in enumerate(STYLE_HELD_OUT)]
        sets.append(ConceptSet(name, "style", "a picture of a monster", f"A style that no caption of the model's training tells: {told}.", training, held_out))
    return sets


def write(concept: ConceptSet, folder: Path) -> None:
    for scenes, place in ((concept.training, folder), (concept.held_out, folder / "heldout")):
        place.mkdir(parents=True, exist_ok=True)
        for i, scene in enumerate(scenes, 1):
            Image.fromarray(enlarge(draw(scene))).save(place / f"{i}.png", optimize=True)
    for i, text in enumerate(concept.captions, 1):
        (folder / f"{i}.txt").write_text(text + "\n", "utf-8")
    told = {
        "name": concept.name, "kind": concept.kind, "initializer": "monster" if concept.kind == "object" else "style",
        "token": f"<{concept.name}>", "bestCaption": concept.best_caption, "description": concept.description, "licence": "MIT",
    }
    (folder / "concept.json").write_text(json.dumps(told, indent=2) + "\n", "utf-8")


def main() -> None:
    root = Path(__file__).resolve().parents[2]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=root / "examples" / "concepts")
    out = parser.parse_args().out
    for concept in concept_sets():
        write(concept, out / concept.name)
        print(concept.name, "-", concept.best_caption)


if __name__ == "__main__":
    main()
