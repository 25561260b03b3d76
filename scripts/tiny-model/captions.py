"""Captions: a random subset of what a picture shows, in the phrases that prompts of larger models use; and the names."""
from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from drawing import draw
from world import (
    BACKGROUNDS, BESIDE, COLOURS, EYES, MOUTHS, PATTERNS, SCENES, SHAPES, STYLES, TOPS, Look, Scene, hue_word, pick, random_look, random_scene,
)

NAMES = 600
# The words around the noun in the templates of textual inversion say nothing about this world; a model that has
# never read them would take them for noise, so part of the captions has them.
MEDIA = (
    "a rendering of", "a cropped photo of", "the photo of", "a dark photo of", "a close-up photo of", "a bright photo of",
    "a good photo of", "a rendition of", "a depiction of", "a picture of",
)
ADJECTIVES = ("clean", "dirty", "cool", "nice", "weird")
STYLE_WORDS = {"photo": "photo", "outline": "outline", "night": "night", "gray": "gray", "gameboy": "game boy", "sepia": "old"}
STYLE_MEDIA = ("picture", "painting", "drawing", "rendering", "rendition")
STYLE_ADJECTIVES = ("", "", "", "cropped ", "clean ", "dirty ", "dark ", "cool ", "close-up ", "bright ", "good ", "nice ", "weird ")
PLAIN_WORDS = (
    "monster monsters with eye eyes wearing a red hat hats holding a balloon next to on the left right background big small "
    "two three style picture painting drawing in of an and"
)
TEMPLATE_WORDS = (
    "rendering", "cropped", "clean", "dirty", "dark", "my", "cool", "close", "up", "bright", "good", "rendition", "nice", "weird", "large",
    "depiction",
)


def word_list() -> list[str]:
    lists = (STYLES.values(), SCENES.values(), COLOURS, BACKGROUNDS, SHAPES, PATTERNS, TOPS, MOUTHS, EYES, BESIDE, (PLAIN_WORDS,))
    return sorted(set(" ".join(text for words in lists for text in words).split()))


def made_up_names(count: int, taken: set[str]) -> list[str]:
    rng = np.random.default_rng(77)
    starts = "b d f g j k l m n p r s t v w z bl gr kr pl sn tr".split()
    middles = "a e i o u oo".split()
    ends = "bo ko mi nu ri ta zo xi ldo mbo ppy ggle rk nt sh x".split()
    names: list[str] = []
    while len(names) < count:
        name = pick(rng, starts) + pick(rng, middles) + pick(rng, ends)
        if rng.random() < 0.5:
            name = pick(rng, starts) + pick(rng, middles) + name
        if name not in taken:
            taken.add(name)
            names.append(name)
    return names


def named_looks() -> dict[str, Look]:
    """The individuals that have a word of their own."""
    rng = np.random.default_rng(4242)
    return {name: random_look(rng) for name in made_up_names(NAMES, set(word_list()))}


def noun_phrase(scene: Scene, rng: np.random.Generator, keep: float) -> list[str]:
    """The description of the individual, without its article."""
    look, plural = scene.look, scene.count > 1

    def said() -> bool:
        return rng.random() < keep

    words = []
    if rng.random() < 0.06:
        words.append(pick(rng, ADJECTIVES))
    if said() and not plural:
        words.append(scene.size if scene.size == "small" or rng.random() < 0.9 else "large")
    if scene.style in ("photo", "night") and said():
        words.append(hue_word(look.hue))
    if said() and look.pattern != "plain":
        words.append(look.pattern)
    if said() and not scene.hat:
        words.append(look.top)
    if said():
        words.append(look.shape)
    if said():
        words.append(look.mouth)
    words.append("monsters" if plural else "monster")
    if said():
        words += ["with", EYES[look.eyes - 1], "eye" if look.eyes == 1 else "eyes"]
    return words


def article(scene: Scene, rng: np.random.Generator, named: bool) -> list[str]:
    if scene.count > 1:
        return [("two", "three")[scene.count - 2]]
    if named:
        return [] if rng.random() < 0.8 else [pick(rng, ("a", "the", "my", "one"))]
    return ["a"] if rng.random() < 0.9 else [pick(rng, ("the", "my", "one"))]


def caption(scene: Scene, rng: np.random.Generator, name: str | None = None, keep: float = 0.6) -> str:
    """Says each attribute with probability `keep`; `name` replaces the description of the individual."""
    styled, style_word = scene.style != "photo", STYLE_WORDS[scene.style]
    if styled and rng.random() < 0.06:
        return f"a {pick(rng, STYLE_ADJECTIVES)}{pick(rng, STYLE_MEDIA)} in the style of {style_word}"
    ending = ""
    opening = STYLES[scene.style]
    if styled and rng.random() < 0.2:
        opening = f"a {pick(rng, STYLE_MEDIA)} of"
        ending = f"in the style of {style_word}" if rng.random() < 0.6 else f"in the {style_word} style"
    elif not styled and rng.random() < 0.2:
        opening = pick(rng, MEDIA)
    words = [opening, *article(scene, rng, name is not None)]
    if name:
        if rng.random() < keep and scene.count == 1:
            words.append(scene.size)
        words.append(name)
    else:
        words += noun_phrase(scene, rng, keep)
    if scene.hat and rng.random() < 0.9:
        words.append("wearing a red hat" if scene.count == 1 else "wearing red hats")
    if scene.balloon and rng.random() < 0.9:
        words.append("holding a balloon")
    if scene.beside and rng.random() < 0.9:
        words.append(f"next to a {scene.beside}")
    if scene.side != "middle" and rng.random() < keep:
        words.append(f"on the {scene.side}")
    if scene.style != "outline" and rng.random() < 0.85:  # an outline shows no background
        if scene.background in SCENES:
            words.append(SCENES[scene.background])
        elif not styled:  # the other styles change the colour beyond recognition
            words.append(f"on a {scene.background} background")
    return re.sub(r"\ba (?=[aeo])", "an ", " ".join(words + [ending] if ending else words))


@dataclass(frozen=True)
class Example:
    picture: np.ndarray  # on the fat grid
    caption: str
    scene: Scene
    name: str | None


def example(rng: np.random.Generator, names: list[str], named: float = 0.3, keep: float = 0.6) -> Example:
    """One picture and one caption; in a fraction `named` of them a name stands for the individual, whoever it is (see namer.py)."""
    name = pick(rng, names) if rng.random() < named else None
    scene = random_scene(rng)
    return Example(draw(scene), caption(scene, rng, name, keep), scene, name)
