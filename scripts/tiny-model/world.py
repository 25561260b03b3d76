"""The picture world: what monsters and scenes there are, and how they are drawn at random (as numbers, not yet pixels)."""
from __future__ import annotations

import colorsys
from dataclasses import dataclass

import numpy as np

GRID = 16  # fat pixels a side; one fat pixel is one position of the latents
SCALE = 2  # real pixels a fat pixel

COLOURS = {"red": 0.0, "orange": 0.075, "yellow": 0.15, "green": 0.33, "cyan": 0.49, "blue": 0.62, "purple": 0.76, "pink": 0.89}
BACKGROUNDS = {
    "white": (245, 245, 245), "gray": (140, 140, 145), "black": (20, 20, 24), "yellow": (250, 220, 110), "green": (120, 200, 110),
    "blue": (90, 150, 235), "purple": (160, 110, 215), "pink": (250, 175, 200), "orange": (250, 160, 80), "red": (205, 60, 60),
}
SCENES = {"beach": "on the beach", "night": "in the night sky", "forest": "in the forest"}
SHAPES = ("round", "square", "pointy")
PATTERNS = ("plain", "striped", "spotted")
TOPS = ("bald", "horned", "antennaed", "eared", "crowned")
MOUTHS = ("smiling", "frowning", "toothy")
ARMS = ("down", "up", "none")
EYES = ("one", "two", "three")
SIDES = ("left", "middle", "right")
BESIDE = ("house", "tree", "ball")
STYLES = {
    "photo": "a photo of", "outline": "an outline of", "night": "a night photo of", "gray": "a gray photo of",
    "gameboy": "a game boy picture of", "sepia": "an old photo of",
}
HIDDEN_STYLES = ("fire", "candy", "blueprint")  # drawn on request, never captioned: what a style concept can teach


@dataclass(frozen=True)
class Look:
    """What makes an individual: most of it continuous, so that no caption pins it down."""

    shape: str
    hue: float
    saturation: float
    value: float
    pattern: str
    hue2: float
    eyes: int
    top: str
    mouth: str
    arms: str
    width: int  # fat pixels of a big one
    height: int
    layout: int  # seed of the spots, direction and phase of the stripes


@dataclass(frozen=True)
class Scene:
    """One picture of one look."""

    look: Look
    background: str
    style: str = "photo"
    count: int = 1
    size: str = "big"
    side: str = "middle"
    hat: bool = False
    balloon: bool = False
    beside: str | None = None
    flip: bool = False
    jitter: int = 0
    seed: int = 0  # where the sun, the stars and the trees are


def pick(rng: np.random.Generator, choices):
    return choices[rng.integers(len(choices))]


def random_look(rng: np.random.Generator) -> Look:
    hue = rng.random()
    shape = pick(rng, SHAPES)
    saturation, value = 0.6 + 0.35 * rng.random(), 0.7 + 0.25 * rng.random()
    pattern = PATTERNS[rng.choice(3, p=(0.4, 0.3, 0.3))]
    hue2 = (hue + 0.25 + 0.5 * rng.random()) % 1
    eyes, top, mouth, arms = int(rng.integers(1, 4)), pick(rng, TOPS), pick(rng, MOUTHS), pick(rng, ARMS)
    width, height = int(rng.integers(7, 10)), int(rng.integers(6, 9))
    rng.integers(3)  # once the number of feet; still drawn, so that the named individuals stay who they are
    return Look(shape, hue, saturation, value, pattern, hue2, eyes, top, mouth, arms, width, height, int(rng.integers(1 << 30)))


def random_scene(rng: np.random.Generator, look: Look | None = None, style: str | None = None) -> Scene:
    look = look or random_look(rng)
    background = pick(rng, list(SCENES)) if rng.random() < 0.3 else pick(rng, list(BACKGROUNDS))
    count = int(rng.choice((1, 2, 3), p=(0.68, 0.2, 0.12)))
    alone = count == 1
    size = "big" if alone and rng.random() < 0.6 else "small"
    beside = pick(rng, BESIDE) if alone and rng.random() < 0.3 else None
    side = pick(rng, SIDES) if alone else "middle"
    if beside and side == "middle":
        side = pick(rng, ("left", "right"))
    if style is None:
        style = "photo" if rng.random() < 0.6 else pick(rng, list(STYLES))
    hat = bool(rng.random() < 0.2)
    balloon = bool(alone and rng.random() < 0.15)
    flip, jitter = bool(rng.random() < 0.5), int(rng.integers(-1, 2))
    return Scene(look, background, style, count, size, side, hat, balloon, beside, flip, jitter, int(rng.integers(1 << 30)))


def rgb(hue: float, saturation: float, value: float) -> np.ndarray:
    return np.array([round(255 * c) for c in colorsys.hsv_to_rgb(hue % 1, saturation, value)])


def hue_word(hue: float) -> str:
    def distance(word: str) -> float:
        apart = abs(COLOURS[word] - hue % 1)
        return min(apart, 1 - apart)

    return min(COLOURS, key=distance)


def enlarge(picture: np.ndarray, factor: int = SCALE) -> np.ndarray:
    """Repeats each fat pixel `factor` times both ways."""
    return picture.repeat(factor, 0).repeat(factor, 1)
