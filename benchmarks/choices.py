"""What a user may set, and by how much it changes a training step of `UnitaryRNN`."""

from collections.abc import Iterator
from typing import Any

import targets
from contestants import CHECKPOINT_EVERY
from shapes import BASE, SHAPES

LAYER = "UnitaryRNN"
CHECKPOINTS = f"{LAYER}, checkpoint_every={CHECKPOINT_EVERY}"
HALF = f"{LAYER}, mixed_bfloat16"

# By the lesser of the two times, where a backend has two.
BEST = (True, False)


def table(record: dict[str, Any], faster: dict[str, Any]) -> str:
    """Return each choice's time by the other's: a row for each, a column a shape."""
    tf, jax, torch = "tensorflow", "jax", "torch"
    rows = [
        (
            "`jit_compile=True`, not `False`, on TensorFlow",
            [_ratio(record, name, (tf, (True,)), (tf, (False,))) for name in SHAPES],
        ),
        (
            "JAX, not TensorFlow in its faster mode",
            [_ratio(record, name, (jax, BEST), (tf, BEST)) for name in SHAPES],
        ),
        (
            "PyTorch, not TensorFlow in its faster mode",
            [_ratio(record, name, (torch, BEST), (tf, BEST)) for name in SHAPES],
        ),
        *(
            (
                f"`checkpoint_every={CHECKPOINT_EVERY}`, not `None`, on {title}",
                [_checkpoints(record, name, backend) for name in SHAPES],
            )
            for backend, title in ((tf, "TensorFlow"), (jax, "JAX"))
        ),
        (
            "`mixed_bfloat16`, not `float32`, on TensorFlow, with AVX-512",
            [_half_precision(faster) if name == "wide" else "" for name in SHAPES],
        ),
    ]
    head = ["choice", *SHAPES]
    return "\n".join([_line(head), _line(["---"] * len(head)), *_lines(rows)])


def batches(record: dict[str, Any]) -> str:
    """Return the time of one sequence, by that in a batch of the base's size."""
    columns = {
        ("tensorflow", False): "TensorFlow",
        ("tensorflow", True): "TensorFlow, XLA",
        ("jax", True): "JAX",
        ("torch", False): "PyTorch",
    }
    found = {
        (run["backend"], point["jit_compile"], point["value"]): point["ms"]
        for run in record["growth"]
        for point in run["points"]
        if point["axis"] == "batch"
    }
    lines = []
    for size in sorted({value for *_, value in found}):
        cells = [f"{size}"]
        for column in columns:
            here, base = found.get((*column, size)), found.get((*column, BASE.batch))
            if here is None or base is None:
                cells.append("")
            else:
                cells.append(f"{here / size / (base / BASE.batch):.2g}")
        lines.append(_line(cells))
    head = ["batch", *columns.values()]
    return "\n".join([_line(head), _line(["---"] * len(head)), *lines])


def _ratio(
    record: dict[str, Any],
    shape: str,
    one: tuple[str, tuple[bool, ...]],
    other: tuple[str, tuple[bool, ...]],
) -> str:
    times = [_times(record, shape, *which) for which in (one, other)]
    return f"{min(times[0]) / min(times[1]):.2f}" if all(times) else ""


def _times(
    record: dict[str, Any], shape: str, backend: str, jits: tuple[bool, ...]
) -> list[float]:
    return [
        row["training"]["ms"]
        for run in targets.runs(record, shape)
        if run["backend"] == backend
        for row in _rows(run, LAYER)
        if row["jit_compile"] in jits
    ]


def _checkpoints(record: dict[str, Any], shape: str, backend: str) -> str:
    """The ratios of time and of memory, in the mode that Keras takes by itself."""
    for run in targets.runs(record, shape):
        if run["backend"] == backend:
            pairs = zip(_rows(run, CHECKPOINTS), _rows(run, LAYER), strict=False)
            for few, every in pairs:
                time, memory = (
                    few["training"][name] / every["training"][name]
                    for name in ("ms", "mebibytes")
                )
                return f"{time:.2f}, memory {memory:.2f}"
    return ""


def _half_precision(faster: dict[str, Any]) -> str:
    run = faster.get("half_precision", {"contestants": []})
    for short, full in zip(_rows(run, HALF), _rows(run, LAYER), strict=True):
        return f"{short['training']['ms'] / full['training']['ms']:.2f}"
    return ""


def _rows(run: dict[str, Any], name: str) -> Iterator[dict[str, Any]]:
    """Yield a contestant's timed rows, without XLA first."""
    for row in sorted(targets.rows(run, name), key=lambda row: row["jit_compile"]):
        if not row["flush_denormals"] and "ms" in row["training"]:
            yield row


def _lines(rows: list[tuple[str, list[str]]]) -> Iterator[str]:
    for title, cells in rows:
        yield _line([title, *cells])


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
