"""Every scheduler, driven by a made-up network: `output = 0.5 * input + 0.1 * sin(index)`."""
from __future__ import annotations

import inspect
from pathlib import Path

import diffusers
import torch

from families import BETAS
from references import OFFSET
from tensors import save, seeded

SHAPE = (1, 1, 4, 4)
STEPS = (4, 10, 25)
PREDICTIONS = ("epsilon", "v_prediction", "sample")
NOISE_SCHEDULES = {
    "scaled_linear": BETAS,
    "linear": {"beta_start": 1e-4, "beta_end": 0.02, "beta_schedule": "linear", "num_train_timesteps": 1000},
    "squaredcos_cap_v2": {"beta_schedule": "squaredcos_cap_v2", "num_train_timesteps": 1000},
    "zero_snr": {**BETAS, "rescale_betas_zero_snr": True},
}
KINDS = {
    "ddpm": ("DDPMScheduler", {"clip_sample": False}),
    "ddim": ("DDIMScheduler", {"clip_sample": False, **OFFSET}),
    "ddim_trailing": ("DDIMScheduler", {"clip_sample": False, "timestep_spacing": "trailing"}),
    "pndm": ("PNDMScheduler", {"skip_prk_steps": True, **OFFSET}),
    "euler": ("EulerDiscreteScheduler", {}),
    "euler_karras": ("EulerDiscreteScheduler", {"use_karras_sigmas": True}),
    "euler_ancestral": ("EulerAncestralDiscreteScheduler", {}),
    "heun": ("HeunDiscreteScheduler", {}),
    "dpmsolver++": ("DPMSolverMultistepScheduler", {}),
    "dpmsolver++karras": ("DPMSolverMultistepScheduler", {"use_karras_sigmas": True}),
    "dpmsolver++sde": ("DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++"}),
    "unipc": ("UniPCMultistepScheduler", {}),
    "lcm": ("LCMScheduler", {}),
}
STOCHASTIC = ("ddpm", "euler_ancestral", "dpmsolver++sde", "lcm")
REFUSES_SAMPLE = ("pndm", "euler_ancestral")  # the classes do not take that prediction type


def write_schedulers(path: Path, seed: int) -> None:
    tensors = {
        f"alphas_cumprod.{name}": diffusers.DDPMScheduler(**settings).alphas_cumprod.double() for name, settings in NOISE_SCHEDULES.items()
    }
    for prediction in PREDICTIONS:
        for steps in STEPS:
            for name in KINDS:
                if prediction != "sample" or name not in REFUSES_SAMPLE:
                    tensors |= walk(name, prediction, steps, seed)
    generator = torch.Generator().manual_seed(seed + 72)  # what the stochastic ones drew, in order
    tensors["noise_stream"] = torch.stack([torch.randn(*SHAPE, generator=generator) for _ in range(30)])
    kinds = {name: {"cls": kind, "config": settings, "stochastic": name in STOCHASTIC} for name, (kind, settings) in KINDS.items()}
    save(tensors, path, {"model": "output = 0.5 * scaled_input + 0.1 * sin(index)", "start": "randn * init_noise_sigma is row 0", "kinds": kinds})


def walk(name: str, prediction: str, steps: int, seed: int) -> dict[str, torch.Tensor]:
    """Start and every step's result, with the timesteps and, where there are any, the sigmas."""
    kind, settings = KINDS[name]
    scheduler = getattr(diffusers, kind)(**BETAS, prediction_type=prediction, **settings)
    scheduler.set_timesteps(steps)
    generator = torch.Generator().manual_seed(seed + 72)
    draws = {"generator": generator} if "generator" in inspect.signature(scheduler.step).parameters else {}
    wave = torch.sin(torch.arange(SHAPE[-1] * SHAPE[-2]).float()).reshape(SHAPE)
    samples = [seeded(*SHAPE, seed=seed + 71) * scheduler.init_noise_sigma]
    for timestep in scheduler.timesteps:
        output = 0.5 * scheduler.scale_model_input(samples[-1], timestep) + 0.1 * wave
        samples.append(scheduler.step(output, timestep, samples[-1], **draws).prev_sample)
    key = f"{prediction}.{name}.{steps}"
    tensors = {key: torch.stack(samples), f"{key}.timesteps": scheduler.timesteps.double()}
    if hasattr(scheduler, "sigmas"):
        tensors[f"{key}.sigmas"] = scheduler.sigmas.double()
    return tensors
