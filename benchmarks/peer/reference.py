"""The reference's side of a benchmark: what diffusers' textual inversion script does, with the same sizes and weights.

Prepares a task, then runs it whenever a line comes in on stdin. Speaks JSON, one object a line.
    python reference.py TASK FOLDER [OPTIONS]
OPTIONS is JSON: threads, device (PyTorch's name) and dtype: float32, tf32 (float32 with a GPU's shorter products) or bfloat16.
"""

import json
import re
import resource
import sys
import time

import diffusers
import torch
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel
from transformers import __version__ as transformers_version

STARTED = time.perf_counter()
TASK, FOLDER = sys.argv[1:3]
OPTIONS = json.loads(sys.argv[3]) if len(sys.argv) > 3 else {}
DEVICE = OPTIONS.get("device", "cpu")
PRECISION = OPTIONS.get("dtype", "float32")
DTYPE = torch.bfloat16 if PRECISION == "bfloat16" else torch.float32
# Convolutions would take the shorter products by default.
torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = PRECISION == "tf32"
PLACE = {"dtype": DTYPE, "device": DEVICE}
CONCEPT = 5


def say(**message):
    print(json.dumps(message), flush=True)


def part(kind, name, dtype=DTYPE):
    return kind.from_pretrained(FOLDER, subfolder=name, torch_dtype=dtype).requires_grad_(False).to(DEVICE)


def now():
    """Seconds on the clock, when all work that was handed to a GPU is done."""
    if DEVICE != "cpu":
        torch.accelerator.synchronize()
    return time.perf_counter()


def tokens_of():
    return CLIPTextConfig.from_pretrained(FOLDER, subfolder="text_encoder").max_position_embeddings


def split_task():
    """`sd15-step-512-encoded` -> kind, number, variant."""
    match = re.fullmatch(r"(?:sd15|tiny)-([a-z]+)-?(\d*)-?(.*)", TASK)
    return match[1], int(match[2] or 0), match[3]


KIND, NUMBER, VARIANT = split_task()
TINY = TASK.startswith("tiny")


def side_of(unet, vae_scale):
    """Side of the latents."""
    return unet.config.sample_size if TINY or not NUMBER else NUMBER // vae_scale


def unet_task(batch):
    unet = part(UNet2DConditionModel, "unet").eval()
    vae = AutoencoderKL.load_config(FOLDER, subfolder="vae")
    scale = 2 ** (len(vae["block_out_channels"]) - 1)
    side = side_of(unet, scale)
    sample = torch.randn(batch, unet.config.in_channels, side, side, **PLACE)
    context = torch.randn(batch, tokens_of(), unet.config.cross_attention_dim, **PLACE)
    timesteps = torch.full((batch,), 501, device=DEVICE)

    @torch.no_grad()
    def run():
        return {}, unet(sample, timesteps, context).sample

    return run


def step_task(batch):
    """One step of examples/textual_inversion/textual_inversion.py: encode, noise, predict, back, AdamW, restore the other rows."""
    unet, vae = part(UNet2DConditionModel, "unet"), part(AutoencoderKL, "vae")
    text = part(CLIPTextModel, "text_encoder", torch.float32)  # what is trained stays in full precision
    scheduler = DDPMScheduler.from_pretrained(FOLDER, subfolder="scheduler")
    embeddings = text.get_input_embeddings()
    embeddings.weight.requires_grad_(True)
    optimizer = torch.optim.AdamW(embeddings.parameters(), lr=5e-4)
    original = embeddings.weight.data.clone()
    keep = torch.ones(len(original), dtype=torch.bool, device=DEVICE)
    keep[CONCEPT] = False
    vae_scale = 2 ** (len(vae.config.block_out_channels) - 1)
    side = side_of(unet, vae_scale)
    pixels = torch.rand(batch, 3, side * vae_scale, side * vae_scale, **PLACE) * 2 - 1
    ids = torch.full((batch, tokens_of()), CONCEPT + 1, device=DEVICE)
    ids[:, 5] = CONCEPT
    encoded = VARIANT == "encoded"
    fixed = torch.randn(batch, unet.config.in_channels, side, side, **PLACE)

    def run():
        marks = [("start", now())]
        mark = lambda name: marks.append((name, now()))
        if encoded:
            latents = fixed
        else:
            with torch.no_grad():
                latents = vae.encode(pixels).latent_dist.sample() * vae.config.scaling_factor
        mark("encode")
        noise = torch.randn_like(latents)
        timesteps = torch.randint(0, scheduler.config.num_train_timesteps, (batch,), device=DEVICE)
        noisy = scheduler.add_noise(latents, noise, timesteps)
        context = text(ids)[0].to(DTYPE)
        mark("text")
        prediction = unet(noisy, timesteps, context).sample
        target = noise if scheduler.config.prediction_type == "epsilon" else scheduler.get_velocity(latents, noise, timesteps)
        loss = torch.nn.functional.mse_loss(prediction.float(), target.float())
        mark("forward")
        loss.backward()
        mark("backward")
        optimizer.step()
        optimizer.zero_grad()
        with torch.no_grad():
            embeddings.weight[keep] = original[keep]
        mark("optimiser")
        return {name: after - before for (_, before), (name, after) in zip(marks, marks[1:])}, loss.detach()

    return run


def encode_task(_):
    vae = part(AutoencoderKL, "vae").eval()
    picture = torch.randn(1, 3, NUMBER, NUMBER, **PLACE)

    @torch.no_grad()
    def run():
        return {}, vae.encode(picture).latent_dist.mean

    return run


def decode_task(_):
    vae = part(AutoencoderKL, "vae").eval()
    latents = torch.randn(1, vae.config.latent_channels, NUMBER // 8, NUMBER // 8, **PLACE)

    @torch.no_grad()
    def run():
        return {}, vae.decode(latents).sample

    return run


def text_task(_):
    text = part(CLIPTextModel, "text_encoder").eval()
    ids = torch.full((1, tokens_of()), CONCEPT + 1, device=DEVICE)

    @torch.no_grad()
    def run():
        return {}, text(ids)[0]

    return run


def matmul_rate():
    """The best product of matrices on this machine, in floating point operations per second: the limit of every task."""
    side = 2048 if DEVICE == "cpu" else 8192
    a, b = torch.randn(side, side, **PLACE), torch.randn(side, side, **PLACE)
    best = float("inf")
    for _ in range(5):
        began = now()
        a @ b
        best = min(best, now() - began)
    return 2 * side**3 / best


def gpu_facts():
    """What the GPU is and the most memory that PyTorch held on it."""
    if not DEVICE.startswith("cuda"):
        return {}
    return {"gpu": torch.cuda.get_device_name(), "gpuPeakBytes": torch.cuda.max_memory_reserved()}


def peak_bytes():
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def main():
    if "threads" in OPTIONS:
        torch.set_num_threads(OPTIONS["threads"])
    batch = (NUMBER or 1) if TINY else 1
    make = {"unet": unet_task, "guided": lambda _: unet_task(2), "step": step_task, "encode": encode_task, "decode": decode_task, "text": text_task}
    began = now()
    run = make[KIND](batch)
    load = now() - began
    began = now()
    run()
    first = now() - began
    since_start = now() - STARTED
    # Before the products below and the counting, which need memory of their own.
    facts, peak = gpu_facts(), None
    versions = {"torch": torch.__version__, "diffusers": diffusers.__version__, "transformers": transformers_version}
    say(ready=True, load=load, first=first, sinceStart=since_start, matmul=matmul_rate(), versions=versions, **facts)
    for line in sys.stdin:
        if line.strip() == "end":
            break
        if line.strip() == "flops":
            peak = peak_bytes()
            from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

            attention = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
            backward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward
            # PyTorch counts attention's operators of GPUs alone.
            uncounted = {
                attention: lambda q, k, v, *_, **__: sdpa_flop_count(q, k, v),
                backward: lambda grad, q, k, v, *_, **__: sdpa_backward_flop_count(grad, q, k, v),
            }
            with FlopCounterMode(display=False, custom_mapping=uncounted) as counter:
                run()
            say(flops=counter.get_total_flops())
            continue
        before = time.process_time()
        began = now()
        parts, _ = run()
        say(seconds=now() - began, processorSeconds=time.process_time() - before, parts=parts)
    say(peakBytes=peak or peak_bytes())


main()
