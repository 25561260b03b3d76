"""What the real classes compute on a tiny pipeline: one file for each thing that our library computes too."""
from __future__ import annotations

from pathlib import Path

import diffusers
import torch
from diffusers import DDPMScheduler

from families import BETAS, Sizes
from pipelines import Pipeline
from prompts import PLACEHOLDER, PROMPTS, added_conditions, concept_tokens, encode, time_ids
from tensors import save, seeded

TRAINING_STEPS = 12
SAMPLING_STEPS = 6
GUIDANCE_SCALE = 7.5
LATENTS = (2, 4, 8, 8)
OFFSET = {"set_alpha_to_one": False, "steps_offset": 1}
SAMPLERS = {
    "ddim": ("DDIMScheduler", {"clip_sample": False, **OFFSET}),
    "pndm": ("PNDMScheduler", {"skip_prk_steps": True, **OFFSET}),
    "euler": ("EulerDiscreteScheduler", {"timestep_spacing": "leading", "steps_offset": 1}),
    "dpmsolver++": ("DPMSolverMultistepScheduler", {}),
    "dpmsolver++karras": ("DPMSolverMultistepScheduler", {"use_karras_sigmas": True}),
    "heun": ("HeunDiscreteScheduler", {}),
    "unipc": ("UniPCMultistepScheduler", {}),
}
# Blocks and layers whose output is kept: the last call wins where a layer is called several times.
TAPPED_ENDINGS = ("resnets.0", "attentions.0", "attn1", "attn2", ".ff")


def write_references(pipeline: Pipeline, folder: Path, sizes: Sizes, seed: int) -> None:
    rows = [0.3 * seeded(sizes.vectors, encoder.config.hidden_size, seed=seed + 21 + i) for i, encoder in enumerate(pipeline.encoders)]
    write_text(pipeline, rows, folder / "text.safetensors")
    write_unet(pipeline, rows, folder / "unet.safetensors", seed)
    write_vae(pipeline, folder / "vae.safetensors", sizes, seed)
    write_gradient(pipeline, rows, folder / "gradient.safetensors", seed)
    write_training(pipeline, rows, folder / "training.safetensors", seed)
    write_sampling(pipeline, rows, folder / "sampling.safetensors", seed)


@torch.no_grad()
def write_text(pipeline: Pipeline, rows: list[torch.Tensor], path: Path) -> None:
    encoded = encode(pipeline, rows, PROMPTS)
    tensors = {"rows": rows[0], "context": encoded.context, "ids": encoded.ids[0].int()}
    if pipeline.family.two_encoders:
        tensors |= {"rows_2": rows[1], "ids_2": encoded.ids[1].int(), "pooled": encoded.pooled}
    else:
        tensors |= {f"hidden.{i}": hidden for i, hidden in enumerate(encoded.last.hidden_states)}
        tensors["pooled"] = encoded.last[1]
    save(tensors, path, {"prompts": PROMPTS, "placeholder": PLACEHOLDER, "tokens": concept_tokens(len(rows[0]))})


@torch.no_grad()
def write_unet(pipeline: Pipeline, rows: list[torch.Tensor], path: Path, seed: int) -> None:
    unet = pipeline.unet
    sample, timesteps = seeded(*LATENTS, seed=seed + 31), torch.tensor([17, 801])
    encoded = encode(pipeline, rows, PROMPTS)
    context, pooled = encoded.context[:2], None if encoded.pooled is None else encoded.pooled[:2]
    taps: dict[str, torch.Tensor] = {}

    def tap(name: str):
        def keep(module: torch.nn.Module, inputs: tuple, output: torch.Tensor | tuple) -> None:
            taps[f"tap.{name}"] = (output[0] if isinstance(output, tuple) else output).detach()
        return keep

    hooks = [module.register_forward_hook(tap(name)) for name, module in tapped_modules(unet)]
    output = unet(sample, timesteps, encoder_hidden_states=context, added_cond_kwargs=added_conditions(pipeline, pooled)).sample
    for hook in hooks:
        hook.remove()
    extra = {"pooled": pooled, "time_ids": time_ids(2)} if pipeline.family.two_encoders else {}
    save({"sample": sample, "timesteps": timesteps.int(), "context": context, "output": output, **extra, **taps}, path)


def tapped_modules(unet: torch.nn.Module) -> list[tuple[str, torch.nn.Module]]:
    blocks = [(name, getattr(unet, name)) for name in ("conv_in", "time_embedding", "mid_block", "conv_norm_out")]
    for side in ("down_blocks", "up_blocks"):
        blocks += [(f"{side}.{i}", block) for i, block in enumerate(getattr(unet, side))]
    return blocks + [(name, module) for name, module in unet.named_modules() if name.endswith(TAPPED_ENDINGS)]


@torch.no_grad()
def write_vae(pipeline: Pipeline, path: Path, sizes: Sizes, seed: int) -> None:
    vae = pipeline.vae
    height, width = sizes.image
    image, latent = torch.tanh(seeded(2, 3, height, width, seed=seed + 41)), seeded(2, 4, height // 8, width // 8, seed=seed + 42)
    moments = vae.quant_conv(vae.encoder(image))
    save({"image": image, "moments": moments, "latent": latent, "decoded": vae.decode(latent).sample}, path, {
        "scaling_factor": pipeline.family.scaling_factor, "note": "decode() gets latent as it is; a pipeline divides by scaling_factor first",
    })


def training_loss(pipeline: Pipeline, rows: list[torch.Tensor], prompts: list[str], latents: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor):
    """Returns loss, context and prediction. @see arXiv 2208.01618, equation 2"""
    scheduler = DDPMScheduler(**BETAS, prediction_type=pipeline.family.prediction)
    encoded = encode(pipeline, rows, prompts)
    noisy = scheduler.add_noise(latents, noise, timesteps)
    target = noise if pipeline.family.prediction == "epsilon" else scheduler.get_velocity(latents, noise, timesteps)
    added = added_conditions(pipeline, encoded.pooled)
    prediction = pipeline.unet(noisy, timesteps, encoder_hidden_states=encoded.context, added_cond_kwargs=added).sample
    return torch.nn.functional.mse_loss(prediction, target), encoded.context, prediction


def trainable(rows: list[torch.Tensor]) -> list[torch.Tensor]:
    return [part.clone().requires_grad_(True) for part in rows]


def write_gradient(pipeline: Pipeline, rows: list[torch.Tensor], path: Path, seed: int) -> None:
    latents, noise, timesteps = 0.8 * seeded(*LATENTS, seed=seed + 51), seeded(*LATENTS, seed=seed + 52), torch.tensor([301, 42])
    learned = trainable(rows)
    loss, context, prediction = training_loss(pipeline, learned, PROMPTS[:2], latents, noise, timesteps)
    context.retain_grad()
    loss.backward()
    tensors = {
        "latents": latents, "noise": noise, "timesteps": timesteps.int(), "rows": rows[0], "loss": loss.detach().reshape(1),
        "prediction": prediction.detach(), "grad.context": context.grad, "grad.rows": learned[0].grad,
    }
    if pipeline.family.two_encoders:
        tensors |= {"rows_2": rows[1], "grad.rows_2": learned[1].grad}
    save(tensors, path, {"prompts": PROMPTS[:2]})


def write_training(pipeline: Pipeline, rows: list[torch.Tensor], path: Path, seed: int) -> None:
    """A short run: AdamW on the rows alone, everything random given."""
    learned = trainable(rows)
    optimizer = torch.optim.AdamW(learned, lr=5e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-2)
    kept: dict[str, list[torch.Tensor]] = {name: [] for name in ("latents", "noise", "timesteps", "losses", "rows_after", "rows_2_after")}
    prompts = [[PROMPTS[step % 3], PROMPTS[(step + 1) % 3]] for step in range(TRAINING_STEPS)]
    for step in range(TRAINING_STEPS):
        latents, noise = 0.8 * seeded(*LATENTS, seed=seed + 1000 + step), seeded(*LATENTS, seed=seed + 2000 + step)
        timesteps = torch.randint(0, 1000, (2,), generator=torch.Generator().manual_seed(seed + 3000 + step))
        loss, _, _ = training_loss(pipeline, learned, prompts[step], latents, noise, timesteps)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        values = (latents, noise, timesteps.int(), loss.detach(), learned[0].detach().clone(), learned[-1].detach().clone())
        for name, value in zip(kept, values, strict=True):
            kept[name].append(value)
    tensors = {name: torch.stack(values) for name, values in kept.items()} | {"rows_start": rows[0]}
    if pipeline.family.two_encoders:
        tensors["rows_2_start"] = rows[1]
    else:
        del tensors["rows_2_after"]
    save(tensors, path, {
        "prompts": prompts, "optimizer": "AdamW lr 5e-3 betas 0.9 0.999 eps 1e-8 weight_decay 1e-2", "loss": "mean squared error over the batch",
    })


@torch.no_grad()
def write_sampling(pipeline: Pipeline, rows: list[torch.Tensor], path: Path, seed: int) -> None:
    """Guided sampling from a given start."""
    start = seeded(1, *LATENTS[1:], seed=seed + 61)
    encoded = encode(pipeline, rows, [PROMPTS[0], ""])
    context, pooled = encoded.context, encoded.pooled
    tensors = {"start": start, "context": context}
    if pipeline.family.two_encoders:  # the index says that an empty prompt is all zeros
        context[1], pooled[1] = 0, 0
        tensors["pooled"] = pooled
    about = {"prompt": PROMPTS[0], "negative_prompt": "", "guidance_scale": GUIDANCE_SCALE, "steps": SAMPLING_STEPS}
    added = added_conditions(pipeline, pooled)
    for name, (kind, settings) in SAMPLERS.items():
        scheduler = getattr(diffusers, kind)(**BETAS, prediction_type=pipeline.family.prediction, **settings)
        scheduler.set_timesteps(SAMPLING_STEPS)
        latents = start * scheduler.init_noise_sigma
        for timestep in scheduler.timesteps:
            both = scheduler.scale_model_input(torch.cat([latents, latents]), timestep)
            with_prompt, without = pipeline.unet(both, timestep, encoder_hidden_states=context, added_cond_kwargs=added).sample.chunk(2)
            guided = without + GUIDANCE_SCALE * (with_prompt - without)
            latents = scheduler.step(guided, timestep, latents).prev_sample
        tensors[f"{name}.latents"] = latents
        tensors[f"{name}.image"] = pipeline.vae.decode(latents / pipeline.family.scaling_factor).sample
        about[name] = {"cls": kind, "timesteps": [float(timestep) for timestep in scheduler.timesteps], "config": settings}
    save(tensors, path, about)
