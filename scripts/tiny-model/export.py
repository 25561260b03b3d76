"""Writes the trained networks in the diffusers folder layout of Stable Diffusion 1.x, as float16 safetensors."""
from __future__ import annotations

import argparse
import errno
import json
import shutil
from pathlib import Path

import torch
from diffusers import AutoencoderKL, PNDMScheduler, UNet2DConditionModel
from safetensors.torch import load_file, save_file
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPVisionModelWithProjection

from models import ROW_SCALE, SETTINGS, TEXT_WIDTH, ClipPair, build_text_encoder, build_unet, scale_residual
from namer import Namer, Names
from train_reading import CaptionReader
from training import load_checkpoint, use_average
from vocabulary import load_tokenizer
from world import GRID, SCALE

PACKAGE = Path(__file__).resolve().parents[2] / "packages" / "tiny-model"
SIZE_LIMIT = 25 * 2 ** 20
MODEL_INDEX = {
    "_class_name": "StableDiffusionPipeline", "_diffusers_version": "0.42.1",
    "feature_extractor": ["transformers", "CLIPImageProcessor"], "image_encoder": ["transformers", "CLIPVisionModelWithProjection"],
    "requires_safety_checker": False, "safety_checker": [None, None], "scheduler": ["diffusers", "PNDMScheduler"],
    "text_encoder": ["transformers", "CLIPTextModel"], "tokenizer": ["transformers", "CLIPTokenizer"],
    "unet": ["diffusers", "UNet2DConditionModel"], "vae": ["diffusers", "AutoencoderKL"],
}
PREPROCESSOR = {
    "crop_size": {"height": GRID * SCALE, "width": GRID * SCALE}, "do_center_crop": True, "do_convert_rgb": True, "do_normalize": True,
    "do_rescale": True, "do_resize": True, "image_mean": [0.5, 0.5, 0.5], "image_processor_type": "CLIPImageProcessor",
    "image_std": [0.5, 0.5, 0.5], "resample": 3, "rescale_factor": 1 / 255, "size": {"shortest_edge": GRID * SCALE},
}


def save_half(module: torch.nn.Module, folder: Path, prefix: str = "") -> None:
    module = module.to(memory_format=torch.contiguous_format).half()
    module.save_pretrained(folder)
    config = folder / "config.json"
    values = json.loads(config.read_text("utf-8"))
    values.pop("_name_or_path", None)  # a folder of this machine
    if "dtype" in values:  # else transformers would compute in float16 beside a UNet in float32
        values["dtype"] = "float32"
    write_json(config, values)
    if prefix:  # the published Stable Diffusion 1.x files have it; the library reads both
        path = folder / "model.safetensors"
        tensors = {k if k.startswith(prefix) else prefix + k: v for k, v in load_file(path).items()}
        save_file(tensors, path, {"format": "pt"})


def write_json(path: Path, value: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2) + "\n", "utf-8")


def export(out: Path, tokenizer_folder: Path, vae: AutoencoderKL, unet: UNet2DConditionModel, text_encoder: CLIPTextModel, pair: ClipPair) -> None:
    """Writes to a temporary folder beside the model's place and moves it there when it is whole."""
    temporary = out.with_name(f".{out.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        shutil.copytree(tokenizer_folder, temporary / "tokenizer")
        save_half(vae, temporary / "vae")
        save_half(unet, temporary / "unet")
        scale_residual(text_encoder, ROW_SCALE)
        save_half(text_encoder, temporary / "text_encoder", prefix="text_model.")
        save_half(pair.vision, temporary / "image_encoder")
        save_half(pair.text, temporary / "clip_text_encoder")
        PNDMScheduler(
            beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", skip_prk_steps=True, set_alpha_to_one=False, steps_offset=1,
            prediction_type="v_prediction",
        ).save_pretrained(temporary / "scheduler")
        write_json(temporary / "feature_extractor" / "preprocessor_config.json", PREPROCESSOR)
        write_json(temporary / "model_index.json", MODEL_INDEX)
        for path in temporary.rglob("*"):
            path.chmod(0o755 if path.is_dir() else 0o644)
        size = sum(path.stat().st_size for path in temporary.rglob("*") if path.is_file())
        if size > SIZE_LIMIT:
            raise SystemExit(f"The export has {size / 2 ** 20:.1f} MB, at most {SIZE_LIMIT / 2 ** 20:.0f} are allowed: make the networks smaller.")
        out.mkdir(parents=True, exist_ok=True)
        for part in sorted(temporary.iterdir()):
            target = out / part.name
            if target.is_dir():
                shutil.rmtree(target)
            part.replace(target)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise SystemExit(f"The disk is full: {out} was not changed. Free some space and export again.")
        raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    print(f"Exported {size / 2 ** 20:.1f} MB to {out}")


def keep_parts(run: Path, tokenizer_folder: Path, vae: AutoencoderKL, pair: ClipPair) -> None:
    """Puts what is trained beside the checkpoint of the diffusion model, so that it can be exported while it trains."""
    if tokenizer_folder != run / "tokenizer":
        shutil.copytree(tokenizer_folder, run / "tokenizer", dirs_exist_ok=True)
    vae.save_pretrained(run / "vae")
    pair.vision.save_pretrained(run / "image_encoder")
    pair.text.save_pretrained(run / "clip_text_encoder")


def load_pair(folder: Path, tokenizer) -> ClipPair:
    pair = ClipPair(tokenizer)
    pair.text = CLIPTextModelWithProjection.from_pretrained(folder / "clip_text_encoder", dtype=torch.float32)
    pair.vision = CLIPVisionModelWithProjection.from_pretrained(folder / "image_encoder", dtype=torch.float32)
    return pair


def load_export(folder: Path):
    """Tokenizer, autoencoder, UNet, text encoder and CLIP pair of an export, in float32."""
    if not (folder / "model_index.json").exists():
        raise SystemExit(f"{folder} holds no export (no model_index.json).")
    tokenizer = load_tokenizer(folder / "tokenizer")
    vae = AutoencoderKL.from_pretrained(folder / "vae", torch_dtype=torch.float32)
    unet = UNet2DConditionModel.from_pretrained(folder / "unet", torch_dtype=torch.float32)
    text_encoder = CLIPTextModel.from_pretrained(folder / "text_encoder", dtype=torch.float32)
    return tokenizer, vae, unet, text_encoder, load_pair(folder, tokenizer)


def averaged_networks(run: Path, tokenizer):
    """The UNet and text encoder of a run's checkpoint with their averaged weights."""
    state = load_checkpoint(run / "diffusion.pt", {**SETTINGS, "vocabulary": len(tokenizer)})
    if state is None:
        raise SystemExit(f"{run} has no diffusion.pt: train first.")
    unet, text_encoder, _, namer = networks = build_unet(), build_text_encoder(tokenizer), CaptionReader(), Namer(TEXT_WIDTH)
    use_average([p for module in networks for p in module.parameters()], state["average"])
    namer.write(text_encoder, Names(tokenizer))
    return unet, text_encoder, state


def main() -> None:
    parser = argparse.ArgumentParser(description="Exports a run, finished or still training.")
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=PACKAGE)
    arguments = parser.parse_args()
    tokenizer = load_tokenizer(arguments.run / "tokenizer")
    unet, text_encoder, state = averaged_networks(arguments.run, tokenizer)
    print(f"{state['samples']} samples, {state['seconds'] / 60:.0f} minutes")
    vae = AutoencoderKL.from_pretrained(arguments.run / "vae")
    export(arguments.out, arguments.run / "tokenizer", vae, unet, text_encoder, load_pair(arguments.run, tokenizer))


if __name__ == "__main__":
    main()
