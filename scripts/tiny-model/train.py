"""Trains the embedded model within a time budget: draws, trains the autoencoder, the CLIP pair, the text encoder and the diffusion model, exports.

    python scripts/tiny-model/train.py --minutes 180 --run ../tiny-run

Ctrl-C at any moment keeps everything; the same command goes on from there. `--from FOLDER` starts from an export.
"""
from __future__ import annotations

import argparse
import importlib.util
import os
import sys
from pathlib import Path

PACKAGES = ("torch", "diffusers", "transformers", "tokenizers", "safetensors", "numpy", "PIL")
SHARES = {"vae": 0.06, "clip": 0.14, "classifier": 0.05, "reading": 0.04, "diffusion": 0.71}  # of the minutes


def check_packages() -> None:
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        requirements = Path(__file__).with_name("requirements.txt")
        sys.exit(f"Missing Python packages: {', '.join(missing)}. Install them with: python -m pip install -r {os.path.relpath(requirements)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, required=True, help="time for everything, over all runs of this folder")
    parser.add_argument("--run", type=Path, required=True, help="checkpoints and results; keep it out of the repository")
    parser.add_argument("--from", dest="start", type=Path, help="an export to start from")
    parser.add_argument("--out", type=Path, help="where the export goes (default: packages/tiny-model)")
    parser.add_argument("--threads", type=int, help="threads of the processor (default: all)")
    given = parser.parse_args()
    check_packages()
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # the processes that draw are forks
    import torch

    from export import PACKAGE, export, keep_parts, load_export
    from judges import train_classifier
    from models import build_unet, scale_residual
    from namer import Names, fitted_namer
    from train_clip import train_clip
    from train_diffusion import train_diffusion
    from train_reading import CaptionReader, train_reading
    from train_vae import train_vae
    from training import choose_device, choose_precision
    from vocabulary import build_tokenizer, load_tokenizer

    if given.threads:
        torch.set_num_threads(given.threads)
    run, minutes = given.run, {name: given.minutes * share for name, share in SHARES.items()}
    run.mkdir(parents=True, exist_ok=True)
    device = choose_device()
    precision = choose_precision(device)
    started = None
    if given.start:
        tokenizer, *started = load_export(given.start)
        tokenizer_folder = given.start / "tokenizer"
    else:
        tokenizer_folder = run / "tokenizer"
        if not (tokenizer_folder / "vocab.json").exists():
            build_tokenizer(tokenizer_folder)
        tokenizer = load_tokenizer(tokenizer_folder)
    names = Names(tokenizer)
    if started:
        vae, unet, text_encoder, pair = started  # an export's latents are what its UNet knows, so its autoencoder stays as it is
        scale_residual(text_encoder, 1.0)
        minutes["diffusion"] += minutes["vae"] + minutes["reading"]
        pair = train_clip(run, minutes["clip"], names, device, precision, (pair, fitted_namer(pair.text, names)))
        train_classifier(run, minutes["classifier"], device, precision)
        networks = (unet, text_encoder, CaptionReader(), fitted_namer(text_encoder, names))
    else:
        vae = train_vae(run, minutes["vae"], device, precision)
        pair = train_clip(run, minutes["clip"], names, device, precision)
        train_classifier(run, minutes["classifier"], device, precision)
        networks = (build_unet(), *train_reading(run, minutes["reading"], names, device, precision))
    keep_parts(run, tokenizer_folder, vae, pair)
    unet, text_encoder, state = train_diffusion(run, minutes["diffusion"], names, vae, device, precision, networks)
    print(f"{state['samples']} samples in {state['seconds'] / 60:.0f} minutes")
    export(given.out or PACKAGE, tokenizer_folder, vae.cpu(), unet.cpu(), text_encoder.cpu(), pair.cpu())
    print(f"Now: python {os.path.relpath(Path(__file__).with_name('evaluate.py'))} --run {run}")


if __name__ == "__main__":
    main()
