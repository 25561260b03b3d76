"""Measures an export on captions and individuals that training never saw, and prints the table of the model card."""
from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from captions import caption
from drawing import draw
from export import PACKAGE, load_export
from judges import answers, background_word, classify, read_figure, readable, said, train_classifier
from models import ClipPair
from sampling import GUIDANCE, STEPS, Painter, sheet
from namer import Names
from supply import stacked, to_tensor
from train_clip import draw_held_out, retrieval
from train_vae import draw_pictures, psnr
from training import choose_device
from world import BACKGROUNDS, Scene, hue_word, random_look, random_scene

SEED = 20_240
SHEET = 60  # samples on a picture
NAMED_ANSWERS = ("hue", "pattern", "top", "shape", "mouth", "eyes", "hat", "balloon", "beside", "style", "background", "count", "size", "side")
COLLAPSE_PROMPTS = (("red", "white"), ("green", "purple"), ("blue", "yellow"), ("pink", "black"))


def held_out_scenes(count: int) -> list[tuple[Scene, str]]:
    rng = np.random.default_rng(SEED)
    pairs = []
    while len(pairs) < count:
        scene = random_scene(rng)
        text = caption(scene, rng, keep=0.6)
        if "monster" in text:  # "a painting in the style of ..." asks for no figure
            pairs.append((scene, text))
    return pairs


def rate(hits: list[bool]) -> float:
    return float(np.mean(hits)) if hits else float("nan")


def prompt_following(painter: Painter, classifier, count: int, guidance: float) -> tuple[dict, np.ndarray, list]:
    pairs = held_out_scenes(count)
    pictures = painter.paint([text for _, text in pairs], range(SEED, SEED + count), guidance)
    read: dict[str, list[bool]] = defaultdict(list)
    judged: dict[str, list[bool]] = defaultdict(list)
    ceiling: dict[str, list[bool]] = defaultdict(list)
    real = np.stack([draw(scene) for scene, _ in pairs])
    for (scene, text), picture, found, found_real in zip(pairs, pictures, classify(classifier, pictures), classify(classifier, real)):
        right, told = answers(scene), said(scene, text)
        if scene.style == "photo" and scene.background in BACKGROUNDS and "background" in told:
            read["background colour"].append(background_word(picture) == scene.background)
        # Things that the caption leaves out would be read as figures only where the model adds them unasked.
        if readable(scene) and "background" in told:
            figure = read_figure(picture)
            if scene.count < 3:
                read["count (one, two)"].append(figure["count"] == right["count"])
            for name in ("size", "side"):
                if name in told:
                    read[name].append(figure[name] == right[name])
        for name in told:
            judged[name].append(found[name] == right[name])
            ceiling[name].append(found_real[name] == right[name])
    numbers = {
        "read": {k: rate(v) for k, v in read.items()}, "judged": {k: rate(judged[k]) for k in NAMED_ANSWERS},
        "judged_real": {k: rate(ceiling[k]) for k in NAMED_ANSWERS}, "counted": {k: len(v) for k, v in judged.items()},
        "counted_read": {k: len(v) for k, v in read.items()},
    }
    numbers["attributes_mean"] = float(np.mean(list(numbers["judged"].values())))
    return numbers, pictures, pairs


@torch.no_grad()
def image_features(pair: ClipPair, pictures: np.ndarray) -> torch.Tensor:
    device = next(pair.parameters()).device
    return torch.nn.functional.normalize(pair.vision(to_tensor(stacked(pictures)).to(device)).image_embeds, dim=-1)


def mean_pairwise(features: torch.Tensor) -> float:
    n = len(features)
    return float(((features @ features.T).sum() - n) / (n * (n - 1)))


def real_pictures(hue: str, background: str, count: int, rng: np.random.Generator) -> np.ndarray:
    """Drawn pictures that "a photo of a `hue` monster on a `background` background" is said of, as often as it is."""
    pictures = []
    while len(pictures) < count:
        look = random_look(rng)
        scene = random_scene(rng, look, style="photo")
        if hue_word(look.hue) != hue or scene.count > 1 or scene.hat or scene.balloon or scene.beside:
            continue
        unsaid = 1 + (look.pattern != "plain") + (scene.side != "middle")  # the size is always left out
        if rng.random() < 0.4 ** (unsaid - 1):
            pictures.append(draw(Scene(look, background, size=scene.size, side=scene.side, flip=scene.flip, jitter=scene.jitter)))
    return np.stack(pictures)


def collapse(painter: Painter, pair: ClipPair, guidance: float) -> float:
    rng, gaps = np.random.default_rng(SEED), []
    for i, (hue, background) in enumerate(COLLAPSE_PROMPTS):
        prompt = f"a photo of a {hue} monster on a {background} background"
        made = painter.paint([prompt] * 64, range(1000 * i, 1000 * i + 64), guidance)
        real = real_pictures(hue, background, 64, rng)
        gaps.append(mean_pairwise(image_features(pair, made)) - mean_pairwise(image_features(pair, real)))
    return float(np.mean(gaps))


def evaluate(folder: Path, run: Path, count: int, guidance: float, classifier_minutes: float) -> dict:
    device = choose_device()
    tokenizer, vae, unet, text_encoder, pair = load_export(folder)
    for module in (vae, unet, text_encoder, pair):
        module.to(device).eval().requires_grad_(False)
    classifier = train_classifier(run, classifier_minutes, device, torch.float32).eval()
    numbers: dict = {"guidance": guidance, "steps": STEPS, "captions": count}
    numbers["psnr"] = psnr(vae, to_tensor(draw_pictures(np.random.default_rng(SEED), count)["pictures"]).to(device))
    numbers["retrieval"] = retrieval(pair, draw_held_out(Names(tokenizer), SEED))
    painter = Painter(folder, tokenizer, vae, unet, text_encoder)
    began = time.monotonic()
    followed, pictures, pairs = prompt_following(painter, classifier, count, guidance)
    numbers |= followed | {"seconds_per_picture": (time.monotonic() - began) / count}
    numbers["collapse"] = collapse(painter, pair, guidance)
    Image.fromarray(sheet([list(pictures[i:i + 10]) for i in range(0, SHEET, 10)])).save(run / "held-out.png")
    (run / "held-out.txt").write_text("".join(f"{i}: {text}\n" for i, (_, text) in enumerate(pairs[:SHEET])), "utf-8")
    (run / "metrics.json").write_text(json.dumps(numbers, indent=2) + "\n", "utf-8")
    return numbers


def table(numbers: dict) -> str:
    read, judged, counted = numbers["read"], numbers["judged"], numbers["counted_read"]
    rows = [
        ("VAE: PSNR of reconstructions", f"{numbers['psnr']:.1f} dB", "30 dB"),
        ("CLIP pair: right caption among 100", f"{numbers['retrieval']:.1%}", "85 %"),
        (f"background colour, read from the pixels ({counted['background colour']} captions)", f"{read['background colour']:.1%}", "95 %"),
        *((f"{name}, read from the pixels ({counted[name]} captions)", f"{read[name]:.1%}", "85 %") for name in ("count (one, two)", "size", "side")),
        ("attributes, mean of the classifier's", f"{numbers['attributes_mean']:.1%}", "80 %"),
        *((f"· {k} (drawn pictures: {numbers['judged_real'][k]:.0%}; {numbers['counted'][k]} captions)", f"{judged[k]:.1%}", "") for k in NAMED_ANSWERS),
        ("collapse: similarity above that of drawn pictures", f"{numbers['collapse']:+.3f}", "at most 0.05"),
    ]
    lines = ["| what | measured | at least |", "|---|---|---|", *(f"| {a} | {b} | {c} |" for a, b, c in rows)]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=PACKAGE, help="the folder of the export")
    parser.add_argument("--run", type=Path, required=True, help="where the classifier's checkpoint and the results go")
    parser.add_argument("--captions", type=int, default=1000)
    parser.add_argument("--guidance", type=float, default=GUIDANCE)
    parser.add_argument("--classifier-minutes", type=float, default=8)
    given = parser.parse_args()
    if given.captions < SHEET:
        parser.error(f"--captions: at least {SHEET}, which the sheet of samples shows, found {given.captions}")
    print(table(evaluate(given.model, given.run, given.captions, given.guidance, given.classifier_minutes)))


if __name__ == "__main__":
    main()
