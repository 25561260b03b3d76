"""Draws scenes: sprites on a coarse grid without smoothing, then a style over the whole picture."""
from __future__ import annotations

import dataclasses

import numpy as np

from world import BACKGROUNDS, GRID, Look, Scene, rgb

DARK = np.array((30, 24, 36))
WHITE = np.array((250, 250, 250))
LIGHTNESS = np.array((0.3, 0.59, 0.11))
RAMPS = {  # four colours from dark to light
    "gameboy": ((15, 56, 15), (48, 98, 48), (139, 172, 15), (175, 200, 35)),
    "fire": ((25, 5, 10), (160, 20, 20), (245, 130, 20), (255, 240, 150)),
    "candy": ((70, 20, 110), (230, 60, 150), (90, 215, 225), (255, 240, 245)),
}
INKS = {"outline": ((30, 30, 40), (248, 246, 238)), "blueprint": ((225, 235, 255), (25, 60, 140))}  # ink, paper


class Canvas:
    """A grid of fat pixels that clips, and remembers which of them belong to which thing."""

    def __init__(self) -> None:
        self.pixels = np.zeros((GRID, GRID, 3), np.int32)
        self.things = np.zeros((GRID, GRID), np.int32)
        self.layer = 0

    def put(self, x: int, y: int, colour) -> None:
        if 0 <= x < GRID and 0 <= y < GRID:
            self.pixels[y, x] = colour
            self.things[y, x] = self.layer

    def box(self, x0: int, y0: int, width: int, height: int, colour) -> None:
        for y in range(y0, y0 + height):
            for x in range(x0, x0 + width):
                self.put(x, y, colour)


def draw(scene: Scene) -> np.ndarray:
    """Returns `[GRID, GRID, 3]` uint8, one entry a fat pixel."""
    canvas = Canvas()
    draw_background(canvas.pixels, scene.background, scene.seed)
    look = scene.look
    if scene.count == 1:
        draw_one(canvas, scene)
    elif scene.count == 2:
        width, height = min(max(5, look.width - 2), 6), max(4, look.height - 2)
        for i, left in enumerate((1, GRID - 1 - width)):
            draw_monster(canvas, look, left, 14 + i * scene.jitter, width, height, scene.hat, False, scene.flip)
    else:
        look = dataclasses.replace(look, arms="none")  # three leave no room for arms
        for i in range(3):
            bottom = 14 + (scene.jitter if i == 1 else 0)
            draw_monster(canvas, look, i * 6, bottom, 4, max(4, look.height - 3), scene.hat, False, scene.flip)
    return apply_style(canvas.pixels, canvas.things, scene.style).astype(np.uint8)


def draw_one(canvas: Canvas, scene: Scene) -> None:
    look = scene.look
    width, height = (look.width, look.height) if scene.size == "big" else (max(5, look.width - 3), max(4, look.height - 3))
    if scene.beside and scene.size == "big":
        width = min(width, 8)
    room = GRID - width
    left = {"left": 1, "middle": room // 2 + scene.jitter, "right": room - 1}[scene.side]
    bottom = min(15, 15 + (scene.jitter if scene.size == "big" else -1))
    if scene.beside:
        draw_beside(canvas, scene.beside, 10 if scene.side == "left" else 1, bottom)
    draw_monster(canvas, look, left, bottom, width, height, scene.hat, scene.balloon, scene.flip)


def draw_background(pixels: np.ndarray, name: str, seed: int) -> None:
    if name in BACKGROUNDS:
        pixels[:] = BACKGROUNDS[name]
        return
    rng = np.random.default_rng(seed)
    if name == "beach":
        pixels[:8] = (135, 206, 250)
        pixels[8:11] = (40, 120, 200)
        pixels[11:] = (240, 215, 150)
        x = int(rng.integers(0, 13))
        pixels[1:3, x:x + 3] = (255, 235, 120)
    elif name == "night":
        pixels[:] = (24, 26, 74)
        for _ in range(7):
            pixels[rng.integers(0, 15), rng.integers(0, 16)] = (255, 250, 200)
        x = int(rng.integers(0, 13))
        pixels[1:4, x:x + 3] = (245, 240, 190)
        pixels[1:3, x + 1:x + 3] = (24, 26, 74)
    else:
        pixels[:] = (150, 205, 165)
        pixels[12:] = (90, 140, 70)
        for x in range(int(rng.integers(-1, 2)), 16, 5):
            pixels[1:9, max(0, x):x + 3] = (40, 110, 60)
            pixels[9:12, max(0, x + 1):x + 2] = (110, 75, 45)


def body_mask(shape: str, width: int, height: int) -> np.ndarray:
    y, x = np.mgrid[0:height, 0:width]
    u = np.abs((x - (width - 1) / 2) / (width / 2))
    v = (y - (height - 1) / 2) / (height / 2)
    if shape == "round":
        return u ** 2.4 + np.abs(v) ** 2.4 <= 1.02
    if shape == "square":
        return np.ones((height, width), bool)
    return u <= np.minimum(1, 0.45 + 0.75 * (y + 0.5) / height)


def second_colour_mask(look: Look, width: int, height: int) -> np.ndarray:
    mask = np.zeros((height, width), bool)
    if look.pattern == "striped":
        start = look.layout % 3 % 2
        if (look.layout // 3) % 2:
            mask[:, start::2 if width < 7 else 3] = True
        else:
            mask[start::2 if height < 6 else 3, :] = True
    elif look.pattern == "spotted":
        mask = np.random.default_rng(look.layout).random((height, width)) < 0.3
    return mask


def draw_monster(
    canvas: Canvas, look: Look, left: int, bottom: int, width: int, height: int, hat: bool, balloon: bool, flip: bool
) -> None:
    """`bottom` is the row below the feet; the body stands on its row of feet."""
    canvas.layer += 1
    base = rgb(look.hue, look.saturation, look.value)
    second = rgb(look.hue2, min(1, look.saturation + 0.1), min(1, look.value + 0.05))
    shade = (base * 0.7).astype(int)
    top = bottom - 1 - height
    body, spots = body_mask(look.shape, width, height), second_colour_mask(look, width, height)
    for y, x in np.argwhere(body):
        canvas.put(left + x, top + y, second if spots[y, x] else base)
    foot, inset = max(1, width // 4), 0 if look.shape == "square" else 1
    for x in (left + inset, left + width - foot - inset):
        canvas.box(x, bottom - 1, foot, 1, shade)
    if look.arms != "none":
        down = look.arms == "down"
        y = top + height // 2 - (0 if down else 1)
        for x in (left - 1, left + width):
            canvas.put(x, y, shade)
            canvas.put(x, y + (1 if down else -1), shade)
    centre = left + (width - 1) // 2
    draw_face(canvas, look, centre, top, width, height, flip)
    first = int(np.argmax(body[0])) if body[0].any() else 0
    a, b = left + first, left + width - 1 - first
    if b - a < 3:
        a, b = centre - 1, centre + 2
    if hat:
        canvas.box(a - 1, top - 1, b - a + 3, 1, (170, 20, 30))
        canvas.box(a, top - 3, b - a + 1, 2, (225, 40, 45))
    else:
        draw_top(canvas, look.top, a, b, top, base, second)
    if balloon:
        x = min(max(left - 3 if flip else left + width + 1, 0), GRID - 3)
        y = max(0, top - 3)
        canvas.box(x, y, 3, 3, (240, 80, 160))
        canvas.put(x, y, (255, 190, 220))
        for yy in range(y + 3, top + height // 2 + 1):
            canvas.put(x + 1, yy, (235, 235, 235))


def draw_face(canvas: Canvas, look: Look, centre: int, top: int, width: int, height: int, flip: bool) -> None:
    eye = top + max(1, height // 4)
    if look.eyes == 1:
        canvas.box(centre, eye, 2, 2, WHITE)
        canvas.put(centre + (1 if flip else 0), eye + 1, DARK)
    else:
        gap = 2 if width < 8 or look.eyes == 3 else 3
        xs = (centre - gap // 2, centre - gap // 2 + gap) if look.eyes == 2 else (centre - gap, centre, centre + gap)
        for x in xs:
            canvas.put(x, eye, WHITE)
            canvas.put(x, eye + 1, DARK)
    y = min(eye + 3, top + height - 2) if height >= 6 else eye + 2
    if look.mouth == "toothy":
        canvas.box(centre - 1, y, 3, 1, WHITE)
        return
    ends, middle = (y, y + 1) if look.mouth == "smiling" else (y + 1, y)
    if max(ends, middle) >= top + height:
        ends, middle = ends - 1, middle - 1
    for x, row in ((centre - 1, ends), (centre, middle), (centre + 1, ends)):
        canvas.put(x, row, DARK)


def draw_top(canvas: Canvas, kind: str, a: int, b: int, top: int, base, second) -> None:
    """What grows between the columns `a` and `b` of the head."""
    if kind == "horned":
        for x in (a, b):
            canvas.put(x, top - 1, (240, 230, 205))
            canvas.put(x, top - 2, (255, 250, 235))
    elif kind == "antennaed":
        for x in (a, b):
            canvas.put(x, top - 1, DARK)
            canvas.put(x, top - 2, second)
    elif kind == "eared":
        for x, tip in ((a, a), (b - 1, b)):
            canvas.box(x, top - 1, 2, 1, base)
            canvas.put(tip, top - 2, base)
    elif kind == "crowned":
        gold = (250, 205, 40)
        canvas.box(a, top - 1, b - a + 1, 1, gold)
        for x in range(a, b + 1, 2):
            canvas.put(x, top - 2, gold)


def draw_beside(canvas: Canvas, kind: str, x: int, bottom: int) -> None:
    canvas.layer += 1
    if kind == "house":
        canvas.box(x, bottom - 4, 5, 4, (205, 165, 115))
        canvas.box(x - 1, bottom - 5, 7, 1, (160, 60, 50))
        canvas.box(x, bottom - 6, 5, 1, (180, 70, 60))
        canvas.box(x + 1, bottom - 7, 3, 1, (180, 70, 60))
        canvas.box(x + 2, bottom - 2, 1, 2, (90, 55, 35))
    elif kind == "tree":
        canvas.box(x + 2, bottom - 3, 1, 3, (110, 75, 45))
        canvas.box(x, bottom - 7, 5, 4, (50, 150, 70))
        canvas.box(x + 1, bottom - 8, 3, 1, (50, 150, 70))
        canvas.put(x + 1, bottom - 6, (220, 60, 60))
        canvas.put(x + 3, bottom - 5, (220, 60, 60))
    else:
        canvas.box(x + 1, bottom - 3, 3, 3, (240, 90, 50))
        canvas.box(x + 1, bottom - 2, 3, 1, WHITE)


def apply_style(pixels: np.ndarray, things: np.ndarray, style: str) -> np.ndarray:
    if style == "photo":
        return pixels
    light = pixels @ LIGHTNESS
    if style == "gray":
        return np.repeat(light[..., None], 3, -1)
    if style == "night":
        return pixels * np.array((0.3, 0.38, 0.62)) + np.array((0, 2, 22))
    if style == "sepia":
        return light[..., None] * np.array((0.92, 0.76, 0.52)) + np.array((20, 12, 4))
    if style in RAMPS:
        return np.array(RAMPS[style])[np.clip(light // 64, 0, 3).astype(int)]
    padded = np.pad(things, 1)
    neighbours = np.stack([padded[1:-1, :-2], padded[1:-1, 2:], padded[:-2, 1:-1], padded[2:, 1:-1]])
    edge = (things > 0) & (neighbours != things).any(0)
    face = (things > 0) & ~edge & ((light < 60) | (light > 235))
    ink, paper = INKS[style]
    return np.where((edge | face)[..., None], np.array(ink), np.array(paper))
