"""Draws pictures of the embedded model with diffusers' own pipeline, for the test that compares ours with them."""
from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

import torch
from diffusers import DPMSolverMultistepScheduler, StableDiffusionPipeline

from export import PACKAGE, write_json
from sampling import GUIDANCE, STEPS

OUT = PACKAGE.parents[1] / "tests" / "golden" / "tiny-model"
SAMPLERS = {"pndm": None, "dpmsolver++": DPMSolverMultistepScheduler}  # the folder's own, and the one the card draws with
CASES = (
    {"prompt": "a photo of a big green spotted horned monster on a pink background", "seed": 3},
    {"prompt": "a game boy picture of two monsters", "seed": 4},
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=PACKAGE)
    model = parser.parse_args().model
    torch.set_num_threads(1)
    pipe = StableDiffusionPipeline.from_pretrained(model, torch_dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    listed, own = [], pipe.scheduler
    for sampler, scheduler in SAMPLERS.items():
        pipe.scheduler = scheduler.from_config(own.config) if scheduler else own
        for case in CASES:
            generator = torch.Generator().manual_seed(case["seed"])
            image = pipe(case["prompt"], num_inference_steps=STEPS, guidance_scale=GUIDANCE, generator=generator).images[0]
            file = f"{len(listed)}.png"
            image.save(OUT / file)
            listed.append({"file": file, **case, "sampler": sampler, "steps": STEPS, "guidanceScale": GUIDANCE})
    write_json(OUT / "pictures.json", listed)
    print(json.dumps(listed, indent=1))


if __name__ == "__main__":
    main()
