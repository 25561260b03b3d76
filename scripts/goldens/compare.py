"""Says how far the numbers of two folders are apart:  python compare.py ../../tests/golden /tmp/golden

Differences are relative to the root mean square of the first folder's tensor. Exits with 1 when a file, a tensor or a config differs.
"""
from __future__ import annotations

import filecmp
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file


def main(first: Path, second: Path) -> int:
    names = {path.relative_to(first) for path in first.rglob("*") if path.is_file()}
    others = {path.relative_to(second) for path in second.rglob("*") if path.is_file()}
    problems = [f"{name}: only in one folder" for name in sorted(names ^ others)]
    for name in sorted(names & others):
        if name.suffix == ".safetensors":
            worst, where = worst_difference(load_file(first / name), load_file(second / name), problems, name)
            print(f"{worst:9.2e}  {name}" + (f"  ({where})" if worst > 0 else ""))
        elif name.suffix in (".json", ".txt") and not filecmp.cmp(first / name, second / name, shallow=False):
            problems.append(f"{name}: different text")
    print("\n".join(problems))
    return 1 if problems else 0


def worst_difference(expected: dict, found: dict, problems: list[str], file: Path) -> tuple[float, str]:
    worst, where = 0.0, ""
    problems += [f"{file}: {name} is only in one folder" for name in sorted(expected.keys() ^ found.keys())]
    for name in sorted(expected.keys() & found.keys()):
        a, b = expected[name].double(), found[name].double()
        if a.shape != b.shape:
            problems.append(f"{file}: {name} is {list(a.shape)} and {list(b.shape)}")
            continue
        scale = a.square().mean().sqrt()
        difference = float((a - b).abs().max() / torch.where(scale > 0, scale, torch.ones_like(scale))) if a.numel() else 0.0
        if difference > worst:
            worst, where = difference, name
    return worst, where


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
