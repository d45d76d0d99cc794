"""How the long runs write down what they found, and what it was of."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("keras", "tensorflow", "jax", "torch", "numpy", "scipy")


def about(checkout: Path = ROOT) -> dict[str, Any]:
    """The commit, the machine and the versions that a run was of."""
    return {
        "commit": git("rev-parse", "HEAD", folder=checkout),
        "uncommitted_changes": git("status", "--porcelain", folder=checkout) != "",
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "versions": {name: version(name) for name in PACKAGES},
    }


def record(path: Path, command: str, new: dict[str, Any]) -> None:
    """Put each backend's outcome in a file of results; leave those of the others."""
    earlier = {}
    if path.exists():
        earlier = json.loads(path.read_text(encoding="utf-8"))["outcomes"]
    results = {"command": command, "outcomes": {**earlier, **new}}
    part = path.with_suffix(".part")
    part.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    part.replace(path)


def git(*arguments: str, folder: Path = ROOT) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=folder, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()
