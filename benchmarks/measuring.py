"""How a cost is measured, what it was measured on, and how it is kept and shown."""

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

FOLDER = Path(__file__).parent
RESULTS = FOLDER / "results"
BACKENDS = {"tensorflow": "TensorFlow", "jax": "JAX", "torch": "PyTorch"}


def timed(call: Callable[[], object], calls: int = 1) -> float:
    """Return the seconds of one of so many calls."""
    start = time.perf_counter()
    for _ in range(calls):
        call()
    return (time.perf_counter() - start) / calls


def rounds(
    call: Callable[[], object],
    calls: int = 1,
    after: Callable[[], object] = lambda: None,
) -> Iterator[dict[str, float]]:
    """Yield the seconds of a call, a round for each yield, and of the very first call.

    Rounds have `calls` calls but for the first, which has one. `after` follows each
    round, untimed.
    """
    first = seconds = timed(call)
    while True:
        after()
        yield {"seconds": seconds, "first": first}
        seconds = timed(call, calls)


def memory(name: str) -> int:
    """Return a line of this process's status, in KiB: VmRSS is what it holds now."""
    status = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    (line,) = (line for line in status if line.startswith(f"{name}:"))
    return int(line.split()[1])


def restart_peak() -> int:
    """Set the high-water mark, VmHWM, to the memory that is held; return it, in KiB."""
    Path("/proc/self/clear_refs").write_text("5")
    return memory("VmRSS")


def exponent(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """Fit `log cost = exponent log size + constant` by least squares."""
    return round(float(np.polyfit(np.log(sizes), np.log(costs), 1)[0]), 2)


def machine() -> dict[str, Any]:
    """Return what a number depends on beside its settings and the commit."""
    names = ("keras", "tensorflow", "jax", "torch", "numpy", "keras-urnn")
    return {
        "processor": processor() or platform.machine(),
        "cores": cores(),
        "python": platform.python_version(),
        "load_average": os.getloadavg()[0],
        "versions": {name: version(name) for name in names},
        "date": time.strftime("%Y-%m-%d"),
    }


def cores() -> int | None:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count()


def processor() -> str:
    """Return the processor's name, and which bfloat16 it has; empty if not Linux."""
    path = Path("/proc/cpuinfo")
    if not path.exists():
        return ""
    lines = path.read_text(encoding="utf-8").splitlines()
    about = dict(line.split(":", 1) for line in lines if ":" in line)
    about = {name.strip(): value.strip() for name, value in about.items()}
    flags = set(about.get("flags", "").split()) & {"avx512f", "avx512_bf16", "amx_bf16"}
    return ", ".join([about.get("model name", ""), *sorted(flags)])


def commit() -> str:
    """Return the commit, marked where the package or a benchmark differs from it."""
    changed = _git("status", "--porcelain", "--", *CODE).stdout.strip()
    head = _git("rev-parse", "HEAD").stdout.strip()
    return head + ("-dirty" if changed else "")


def is_current(commit: str) -> bool:
    """Return whether neither the package nor the benchmarks differ from a commit."""
    compared = _git("diff", "--quiet", commit, "--", *CODE, check=False)
    return compared.returncode == 0


CODE = ("../keras_urnn", ".", ":!results")


def _git(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["git", *arguments], cwd=FOLDER, check=check, capture_output=True, text=True
    )


def write(path: Path, record: dict[str, Any]) -> None:
    """Replace a file of results at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    temporary.replace(path)
    print(f"wrote {path.name}", file=sys.stderr)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
