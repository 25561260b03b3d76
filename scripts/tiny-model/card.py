"""Draws the pictures of the model card: the loss curve, a sheet of samples and the experiment's grid."""
from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import matplotlib
import torch
from PIL import Image

from export import PACKAGE, load_export
from sampling import GUIDANCE, Painter, sheet

ROWS = (
    "a photo of a big green spotted horned monster with two eyes on a pink background",
    "a photo of a small purple monster wearing a red hat next to a tree on a white background",
    "a photo of two orange striped monsters on the beach",
    "a photo of a pink crowned monster with one eye in the night sky",
    "a photo of a cyan monster holding a balloon in the forest",
    "a photo of three monsters on a yellow background",
    "an outline of a monster next to a house",
    "a game boy picture of a monster",
)
COLUMNS = 10


def loss_curve(checkpoint: Path, out: Path) -> None:
    matplotlib.use("Agg")
    from matplotlib import pyplot

    log = torch.load(checkpoint, map_location="cpu", weights_only=False)["log"]
    figure, axis = pyplot.subplots(figsize=(7, 3))
    axis.plot([samples / 1000 for _, samples, _ in log], [loss for *_, loss in log], linewidth=1.2)
    axis.set(xlabel="thousand samples", ylabel="loss of the UNet", yscale="log")
    axis.grid(alpha=0.3, which="both")
    figure.tight_layout()
    figure.savefig(out, dpi=80)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=PACKAGE)
    parser.add_argument("--run", type=Path, required=True)
    given = parser.parse_args()
    out = given.model / "card"
    out.mkdir(exist_ok=True)
    loss_curve(given.run / "diffusion.pt", out / "loss.png")
    tokenizer, vae, unet, text_encoder, _ = load_export(given.model)
    painter = Painter(given.model, tokenizer, vae, unet, text_encoder)
    pictures = painter.paint([row for row in ROWS for _ in range(COLUMNS)], [*range(COLUMNS)] * len(ROWS), GUIDANCE)
    rows = [list(pictures[i:i + COLUMNS]) for i in range(0, len(pictures), COLUMNS)]
    Image.fromarray(sheet(rows)).save(out / "samples.png", optimize=True)
    if (given.run / "experiment.png").exists():
        shutil.copyfile(given.run / "experiment.png", out / "experiment.png")


if __name__ == "__main__":
    main()
