"""What a user may set, and by how much it changes a training step of `UnitaryRNN`."""

from collections.abc import Iterator
from typing import Any

import targets
from contestants import CHECKPOINT_EVERY
from markdown import COLUMNS, line
from promises import plain_rows
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
            [_compiled(record, name) for name in SHAPES],
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
                [_checkpoints(record, name, *column) for name in SHAPES],
            )
            for column, title in COLUMNS.items()
        ),
        (
            "`mixed_bfloat16`, not `float32`, on TensorFlow, with AVX-512",
            [_half_precision(faster) if name == "wide" else "" for name in SHAPES],
        ),
    ]
    head = ["choice", *SHAPES]
    return "\n".join(
        [
            line(head),
            line(["---"] * len(head)),
            *(line([title, *cells]) for title, cells in rows),
        ]
    )


def batches(record: dict[str, Any]) -> str:
    """Return the time of one sequence, by that in a batch of the base's size."""
    found = {
        (run["backend"], point["jit_compile"], point["value"]): point["ms"]
        for run in record["growth"]
        for point in run["points"]
        if point["axis"] == "batch"
    }
    lines = []
    for size in sorted({value for *_, value in found}):
        cells = [f"{size}"]
        for column in COLUMNS:
            here, base = found.get((*column, size)), found.get((*column, BASE.batch))
            if here is None or base is None:
                cells.append("")
            else:
                cells.append(f"{here / size / (base / BASE.batch):.2g}")
        lines.append(line(cells))
    head = ["batch", *COLUMNS.values()]
    return "\n".join([line(head), line(["---"] * len(head)), *lines])


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
        for row in plain_rows(run, LAYER)
        if row["jit_compile"] in jits
    ]


def _compiled(record: dict[str, Any], shape: str) -> str:
    """The ratios of a step's time, of its memory, and of the first step's time."""
    for run in targets.runs(record, shape):
        if run["backend"] == "tensorflow":
            found = {
                row["jit_compile"]: row["training"] for row in plain_rows(run, LAYER)
            }
            if found.keys() == {True, False}:
                return _ratios(found[True], found[False], "ms", "mebibytes", "first_s")
    return ""


def _checkpoints(record: dict[str, Any], shape: str, backend: str, jit: bool) -> str:
    """The ratios of time and of memory."""
    for run in targets.runs(record, shape):
        if run["backend"] == backend:
            for few, every in _pairs(run, CHECKPOINTS, jit):
                return _ratios(few, every, "ms", "mebibytes")
    return ""


def _ratios(one: Any, other: Any, *names: str) -> str:
    titles = {"ms": "", "mebibytes": "memory ", "first_s": "first step "}
    ratios = (f"{titles[name]}{one[name] / other[name]:.2f}" for name in names)
    return ", ".join(ratios)


def _half_precision(faster: dict[str, Any]) -> str:
    run = faster.get("half_precision", {"contestants": []})
    for half, full in _pairs(run, HALF, jit=False):
        return f"{half['ms'] / full['ms']:.2f}"
    return ""


def _pairs(run: dict[str, Any], name: str, jit: bool) -> Iterator[tuple[Any, Any]]:
    """Yield a variant's training and that of the layer, in one mode."""
    rows = [
        [row for row in plain_rows(run, one) if row["jit_compile"] == jit]
        for one in (name, LAYER)
    ]
    for variant, layer in zip(*rows, strict=False):
        yield variant["training"], layer["training"]
