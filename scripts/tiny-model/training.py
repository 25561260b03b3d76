"""One training loop for every network: a time budget, a checkpoint, and Ctrl-C at any moment."""
from __future__ import annotations

import errno
import math
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from supply import Batch, drawn_batches

SAVE_EVERY = 110  # seconds
REPORT_EVERY = 30
RECORD_AFTER = 10  # steps: by then the optimizer has its moments and the libraries their memory


@dataclass(frozen=True)
class Stage:
    """What differs between the networks' trainings."""

    name: str
    minutes: float
    learning_rate: float
    seed: int
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: float = 0.0
    warmup: int = 100
    decay: str = "cosine"  # or "cooldown": constant, then a line to zero over the last 30 % of the time
    ema: float = 0.0
    channels_last: bool = False


def cooldown(fraction: float) -> float:
    """1 until 70 % of the time is spent, then a line to zero."""
    return min(1.0, max(0.0, (1 - fraction) / 0.3))


def learning_rate(stage: Stage, step: int, fraction: float) -> float:
    warm = min(1.0, (step + 1) / stage.warmup)
    if stage.decay == "cooldown":
        return stage.learning_rate * warm * max(0.02, cooldown(fraction))
    return stage.learning_rate * warm * (0.5 * (1 + math.cos(math.pi * min(1.0, fraction))) * 0.97 + 0.03)


def choose_device() -> torch.device:
    if not torch.cuda.is_available():
        return torch.device("cpu")
    torch.set_float32_matmul_precision("high")
    torch.backends.cuda.enable_cudnn_sdp(False)  # it cannot be recorded
    torch.cuda.set_stream(torch.cuda.Stream())  # on the default one nothing can be recorded
    return torch.device("cuda")


def choose_precision(device: torch.device) -> torch.dtype:
    """bfloat16 where a product of matrices is truly faster in it: emulated, it is hundreds of times slower."""

    def seconds(dtype: torch.dtype) -> float:
        side = 4096 if device.type == "cuda" else 256
        a = torch.randn(side, side, device=device).to(dtype)
        best = math.inf
        for _ in range(3):
            start = time.perf_counter()
            a @ a
            if device.type == "cuda":
                torch.cuda.synchronize()
            best = min(best, time.perf_counter() - start)
        return best

    plain, half = seconds(torch.float32), seconds(torch.bfloat16)
    chosen = torch.bfloat16 if half < 0.5 * plain else torch.float32
    print(f"{device}: float32 {plain * 1e3:.2f} ms, bfloat16 {half * 1e3:.2f} ms a product; training in {str(chosen)[6:]}", flush=True)
    return chosen


class Recorded:
    """A step for a GPU: its kernels are so small that launching them takes longer than running them, so they are recorded once and replayed."""

    def __init__(self, step: Callable[..., torch.Tensor], inputs: tuple) -> None:
        self.inputs = inputs
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph, stream=torch.cuda.current_stream(), capture_error_mode="thread_local"):
            self.loss = step(*inputs)

    def __call__(self, batch: Batch, cooling: torch.Tensor) -> torch.Tensor:
        kept, kept_cooling = self.inputs
        for name, value in batch.items():
            kept[name].copy_(value, non_blocking=True)
        kept_cooling.copy_(cooling)
        self.graph.replay()
        return self.loss


def save_checkpoint(path: Path, state: dict) -> None:
    """Writes beside the old checkpoint and renames, so that a full disk or a kill leaves the old one whole."""
    temporary = path.with_suffix(".tmp")
    try:
        torch.save(state, temporary)
        os.replace(temporary, path)
    except (OSError, RuntimeError) as error:
        temporary.unlink(missing_ok=True)
        if getattr(error, "errno", None) == errno.ENOSPC or "file write failed" in str(error):
            raise SystemExit(f"The disk is full: {path} was not written; the previous checkpoint is whole. Free some space and run again.")
        raise


def load_checkpoint(path: Path, settings: dict) -> dict | None:
    if not path.exists():
        return None
    state = torch.load(path, map_location="cpu", weights_only=False)
    differing = {k: (state["settings"].get(k), v) for k, v in settings.items() if state["settings"].get(k) != v}
    if differing:
        told = "; ".join(f"{k} is {found}, expected {expected}" for k, (found, expected) in differing.items())
        raise SystemExit(f"{path} belongs to other settings: {told}. Use another --run folder or delete this file.")
    return state


def train(
    stage: Stage,
    run: Path,
    settings: dict,
    modules: dict[str, nn.Module],
    draw_batch: Callable[[np.random.Generator], Batch],
    loss_of_batch: Callable[[Batch, torch.Tensor], torch.Tensor],
    *,
    device: torch.device,
    precision: torch.dtype,
    report: Callable[[], str] = lambda: "",
) -> dict:
    """Trains until the stage's minutes (of all runs together) are spent; returns the final checkpoint.

    `draw_batch(rng)` makes a batch of tensors of equal length, of the same shapes each time, in a process of its own if there is a GPU (so it has to
    be picklable); `loss_of_batch(batch, cooling)` gets it on the device, with `cooldown`'s value as a tensor, and never waits for the device. The
    modules end with the averaged weights where the stage has an average.
    """
    run.mkdir(parents=True, exist_ok=True)
    path, gpu = run / f"{stage.name}.pt", device.type == "cuda"
    for module in modules.values():
        module.to(device)
        if stage.channels_last:
            module.to(memory_format=torch.channels_last)
    params = [p for module in modules.values() for p in module.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(
        params, lr=stage.learning_rate, betas=stage.betas, weight_decay=stage.weight_decay, fused=gpu, capturable=gpu
    )
    average = [p.detach().clone() for p in params] if stage.ema else []
    step, samples, spent, log = 0, 0, 0.0, []
    if saved := load_checkpoint(path, settings):
        for name, module in modules.items():
            module.load_state_dict(saved["modules"][name])
        optimizer.load_state_dict(saved["optimizer"])
        average = [a.to(device) for a in saved["average"]]
        step, samples, spent, log = saved["step"], saved["samples"], saved["seconds"], saved["log"]
        print(f"{stage.name}: resumed at step {step}, {spent / 60:.1f} minutes", flush=True)
    rate = torch.zeros((), device=device)
    for group in optimizer.param_groups:
        group |= {"fused": gpu, "capturable": gpu}  # the checkpoint may be from another device
    torch.manual_seed(stage.seed * 1_000_003 + step)
    total = stage.minutes * 60

    def state() -> dict:
        return {
            "settings": settings, "modules": {k: m.state_dict() for k, m in modules.items()}, "optimizer": optimizer.state_dict(),
            "average": average, "step": step, "samples": samples, "seconds": spent, "log": log,
        }

    def plain_step(batch: Batch, cooling: torch.Tensor) -> torch.Tensor:
        with torch.autocast(device.type, dtype=precision, enabled=precision != torch.float32, cache_enabled=False):
            loss = loss_of_batch(batch, cooling)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(params, 1.0)
        optimizer.step()
        return loss.detach()

    stopped = False

    def stop(*_: object) -> None:
        nonlocal stopped
        stopped = True

    handlers = {s: signal.signal(s, stop) for s in (signal.SIGINT, signal.SIGTERM)}
    batches, run_step, first = drawn_batches(draw_batch, [stage.seed, step], device), plain_step, step
    began, before = time.monotonic(), spent
    reported = written = began
    losses: list[float] = []
    try:
        while spent < total and not stopped:
            for group in optimizer.param_groups:
                value = learning_rate(stage, step, spent / total)
                group["lr"] = rate.fill_(value) if gpu else value
            batch = {name: value.to(device, non_blocking=True) for name, value in next(batches).items()}
            cooling = torch.tensor(cooldown(spent / total), device=device)
            if gpu and step == first + RECORD_AFTER:
                torch.cuda.synchronize()
                run_step = Recorded(plain_step, (batch, cooling))
            losses.append(run_step(batch, cooling).item())
            step, samples = step + 1, samples + len(next(iter(batch.values())))
            if stage.ema:
                keep = min(stage.ema, (1 + step) / (10 + step))
                torch._foreach_lerp_(average, [p.detach() for p in params], 1 - keep)
            now = time.monotonic()
            spent = before + now - began
            if now - reported > REPORT_EVERY:
                reported = now
                log.append((spent, samples, float(np.mean(losses))))
                print(f"{stage.name} {spent:.0f} s, step {step}, {samples} samples, loss {log[-1][2]:.4f} {report()}", flush=True)
                losses = []
            if now - written > SAVE_EVERY:
                written = now
                save_checkpoint(path, state())
        save_checkpoint(path, state())
    finally:
        for s, handler in handlers.items():
            signal.signal(s, handler)
    if stopped:
        raise SystemExit(f"\nStopped; {path} has everything. Run the same command again to go on.")
    final = state()
    use_average(params, average)
    return final


def use_average(params: list[nn.Parameter], average: list[torch.Tensor]) -> None:
    with torch.no_grad():
        for p, a in zip(params, average):
            p.copy_(a)
