"""What a number depends on beside its settings."""

import os
import platform
import subprocess
from importlib import import_module
from pathlib import Path
from typing import Any

import keras

# The shape of `environment()` where it is read back.
ENVIRONMENT = {"backend": str, "device": str, "gpu?": str | None, "commit": str | None}


def device() -> str:
    """Name the device that the active backend puts its tensors on."""
    # `keras.distribution.list_devices` does not exist under PyTorch.
    return str(keras.ops.zeros(()).device).rpartition("device:")[2].lower()


def environment() -> dict[str, Any]:
    """What a number depends on beside its settings."""
    backend = keras.config.backend()
    packages = ("keras_urnn", "keras", backend, "numpy", "scipy")
    return {
        "backend": backend,
        "device": device(),
        "processor": platform.machine(),
        "gpu": _gpu(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "versions": {name: import_module(name).__version__ for name in packages},
        "commit": _commit(),
    }


def _gpu() -> str | None:
    """Return the name of the first GPU, or `None` where NVIDIA's driver is not."""
    found = _said("nvidia-smi", "--query-gpu=name", "--format=csv,noheader")
    return found.partition("\n")[0] or None


def _commit() -> str | None:
    """Return the commit, marked where the code differs, or `None` outside git."""
    commit = _git("rev-parse", "HEAD")
    # A run may write its results among those that are committed.
    code = ("keras_urnn", "examples", ":!examples/results")
    if commit and _git("status", "--porcelain", "--", *code):
        return f"{commit}-dirty"
    return commit or None


def _git(*arguments: str) -> str:
    return _said("git", *arguments)


def _said(*command: str) -> str:
    root = Path(__file__).parents[1]
    try:
        found = subprocess.run(command, cwd=root, capture_output=True, text=True)
    except OSError:  # the command is not installed, or can't be run
        return ""
    return found.stdout.strip()
