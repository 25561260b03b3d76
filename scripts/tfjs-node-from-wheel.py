#!/usr/bin/env python3
"""Builds the addon of @tensorflow/tfjs-node against the TensorFlow of a Python wheel.

The package's own install script downloads libtensorflow 2.9 from a place that many networks do not reach. A wheel from a Python package index
holds a current one, with the C interface and its headers:

    npm install --ignore-scripts @tensorflow/tfjs-node@4.22.0
    pip download --no-deps -d wheels tensorflow-cpu==2.21.0
    python3 tfjs-node-from-wheel.py node_modules/@tensorflow/tfjs-node wheels/tensorflow_cpu-*.whl

Needs Linux, g++ and Node's headers (beside `node`, or given with --node-include). See docs/tensorflow.md.
"""
from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

NAPI_VERSION = 8
LIBRARIES = ("libtensorflow_cc.so.2", "libtensorflow_framework.so.2")
# What the two C++ files of the addon include, and what those headers include.
HEADERS = ("tensorflow/c/", "tensorflow/core/platform/", "xla/tsl/", "tsl/")


def unpack(wheel: Path, package: Path, headers: Path) -> None:
    """Puts the libraries where the addon looks for them at run time, and the headers into a folder of the build."""
    libraries = package / "deps" / "lib"
    libraries.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            inside = name.removeprefix("tensorflow/")
            if inside in LIBRARIES:
                with archive.open(name) as source, (libraries / inside).open("wb") as target:
                    shutil.copyfileobj(source, target)
            header = inside.removeprefix("include/")
            if header != inside and header.startswith(HEADERS) and not name.endswith("/"):
                target_path = headers / header
                target_path.parent.mkdir(parents=True, exist_ok=True)
                target_path.write_bytes(archive.read(name))
    absent = [name for name in LIBRARIES if not (libraries / name).exists()]
    if absent:
        sys.exit(f"{wheel.name} holds no {' and no '.join(absent)}: is it a wheel of TensorFlow for Linux?")


def node_headers() -> Path:
    """The folder of `node_api.h` that came with the `node` on the path."""
    node = subprocess.run(["node", "-p", "process.execPath"], check=True, capture_output=True, text=True).stdout.strip()
    folder = Path(node).resolve().parent.parent / "include" / "node"
    if not (folder / "node_api.h").exists():
        sys.exit(f"No node_api.h in {folder}. Give the folder of Node's headers with --node-include.")
    return folder


def compile_addon(package: Path, headers: Path, node_include: Path) -> Path:
    addon = package / "lib" / f"napi-v{NAPI_VERSION}" / "tfjs_binding.node"
    addon.parent.mkdir(parents=True, exist_ok=True)
    libraries = package / "deps" / "lib"
    subprocess.run(
        [
            "g++", "-std=c++17", "-O2", "-fPIC", "-shared",
            f"-DNAPI_VERSION={NAPI_VERSION}", "-DNODE_GYP_MODULE_NAME=tfjs_binding", "-DBUILDING_NODE_EXTENSION",
            f"-I{node_include}", f"-I{headers}", f"-I{package}",
            str(package / "binding" / "tfjs_backend.cc"), str(package / "binding" / "tfjs_binding.cc"),
            *(str(libraries / name) for name in LIBRARIES), f"-Wl,-rpath,$ORIGIN/../../deps/lib", "-o", str(addon),
        ],
        check=True,
    )
    return addon


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("package", type=Path, help="the folder of @tensorflow/tfjs-node or @tensorflow/tfjs-node-gpu")
    parser.add_argument("wheel", type=Path, help="a wheel of tensorflow-cpu or tensorflow for Linux")
    parser.add_argument("--node-include", type=Path, help="the folder of node_api.h")
    given = parser.parse_args()
    if not (given.package / "binding" / "tfjs_binding.cc").exists():
        sys.exit(f"{given.package} is not the folder of @tensorflow/tfjs-node.")
    package = given.package.resolve()
    with tempfile.TemporaryDirectory() as folder:
        headers = Path(folder)
        unpack(given.wheel, package, headers)
        addon = compile_addon(package, headers, given.node_include or node_headers())
    print(addon)


if __name__ == "__main__":
    main()
