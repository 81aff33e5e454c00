"""What the figures were taken on: without it they mean nothing."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

_PACKAGES = (
    "tagwright-server",
    "tagwright-client",
    "tagwright-web",
    "torch",
    "nvidia-pytriton",
    "tritonclient",
    "onnxruntime",
    "grpcio",
    "protobuf",
    "numpy",
    "pillow",
    "starlette",
    "uvicorn",
    "playwright",
)
_BUSY_PERCENT = 10.0  # the bench itself uses none before it starts


def describe(root: Path) -> dict[str, Any]:
    """Return the machine, the versions and the commit. Takes a second, to see whether others use the machine."""
    busy_percent = psutil.cpu_percent(interval=1.0)
    return {
        "cpu": cpu_model(),
        "cores": cores(),
        "memory_bytes": psutil.virtual_memory().total,
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in _PACKAGES},
        "load_average": list(os.getloadavg()),
        "busy_percent": busy_percent,
        "busy": busy_percent > _BUSY_PERCENT,
        **_commit(root),
    }


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cpu_model() -> str:
    """Return the processor's name, with its family and model where the name alone says little."""
    said: dict[str, str] = {}
    cpuinfo = Path("/proc/cpuinfo")
    for line in cpuinfo.read_text().split("\n\n")[0].splitlines() if cpuinfo.exists() else ():
        key, _, value = line.partition(":")
        said[key.strip()] = value.strip()
    if "model name" not in said:
        return platform.processor() or platform.machine()
    return f"{said['model name']} (family {said.get('cpu family', '?')}, model {said.get('model', '?')})"


def _version(name: str) -> str | None:
    try:
        return version(name).partition("+")[0]
    except PackageNotFoundError:
        return None


def _commit(root: Path) -> dict[str, Any]:
    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=True)
        except (OSError, subprocess.CalledProcessError):  # no git, or not a checkout
            return None
        return done.stdout.strip()

    changed = git("status", "--porcelain")
    return {"commit": git("rev-parse", "HEAD"), "dirty": None if changed is None else bool(changed)}
