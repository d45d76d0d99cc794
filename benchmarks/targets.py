"""What is promised of the training step, and whether a result keeps it.

A cell is the time of ours divided by the contestant's, both medians of one run. Ours
is the slower of `UnitaryRNN` and `ContractiveRNN`, as layers, in the contestant's mode.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from contestants import OURS
from markdown import line
from shapes import SHAPES

# At 1.0: no slower by more than this, and within the spread.
SLACK = 1.03

Row = dict[str, Any]


class Target(NamedTuple):
    """The most that ours may take, as a share of the contestant's time, by shape."""

    title: str
    against: str
    most: dict[str, float]
    backends: tuple[str, ...] = ("tensorflow", "jax", "torch")
    jits: tuple[bool, ...] = (False, True)
    flushes: tuple[bool, ...] = (False,)
    best_backend: bool = False  # ours on the backend and in the mode that is fastest


def _by_shape(*most: float) -> dict[str, float]:
    return dict(zip(SHAPES, most, strict=True))


TF, JAX, TORCH = ("tensorflow",), ("jax",), ("torch",)
TARGETS = (
    Target(
        "`SimpleRNN`, TensorFlow with XLA",
        "SimpleRNN",
        _by_shape(0.45, 0.85, 1.0, 0.70),
        TF,
        (True,),
    ),
    Target(
        "`SimpleRNN`, TensorFlow without XLA",
        "SimpleRNN",
        _by_shape(0.50, 1.0, 1.0, 0.70),
        TF,
        (False,),
    ),
    Target("`SimpleRNN`, JAX", "SimpleRNN", _by_shape(0.60, 1.0, 1.0, 0.80), JAX),
    Target(
        "`SimpleRNN`, PyTorch", "SimpleRNN", _by_shape(0.20, 0.65, 0.9, 0.25), TORCH
    ),
    Target(
        "plain SVD constraint, TensorFlow with XLA",
        "SimpleRNN, plain SVD",
        _by_shape(0.45, 0.15, 0.05, 0.40),
        TF,
        (True,),
    ),
    Target(
        "geotorch, against our best backend",
        "geotorch",
        _by_shape(0.10, 0.75, 1.0, 0.10),
        TORCH,
        flushes=(False, True),
        best_backend=True,
    ),
    Target("`LSTM`, each backend", "LSTM", _by_shape(0.30, 0.25, 0.30, 0.30)),
)


class Cell(NamedTuple):
    """A ratio that was measured; the worst where a target has several."""

    ratio: float
    most: float
    at_most: bool  # the contestant was stopped: the ratio is less than this
    overlap: bool  # the quartiles of the two times overlap

    @property
    def met(self) -> bool:
        if self.most == 1.0 and self.overlap:
            return self.ratio <= SLACK
        return self.ratio <= self.most

    def __str__(self) -> str:
        less = "< " if self.at_most else ""
        met = "met" if self.met else "**missed**"
        return f"{less}{self.ratio:.2f} (≤ {self.most:g}): {met}"


def cell(record: dict[str, Any], target: Target, shape: str) -> Cell | None:
    """Return the ratio for a target and a shape; None where it wasn't measured."""
    cells = list(_cells(record, target, shape))
    # Of geotorch's two modes the faster counts, which gives the larger ratio, too.
    return max(cells, key=lambda one: one.ratio, default=None)


def _cells(record: dict[str, Any], target: Target, shape: str) -> Iterator[Cell]:
    for run in runs(record, shape):
        if run["backend"] not in target.backends:
            continue
        for row in rows(run, target.against):
            mode = (row["jit_compile"], row["flush_denormals"])
            if mode[0] not in target.jits or mode[1] not in target.flushes:
                continue
            mine = _fastest(record, run) if target.best_backend else ours(run, *mode)
            if mine and (theirs := milliseconds(row)):
                stopped = "ms" not in row["training"]
                overlap = not stopped and _overlap(mine, row["training"])
                yield Cell(mine["ms"] / theirs, target.most[shape], stopped, overlap)


def runs(record: dict[str, Any], shape: str) -> Iterator[dict[str, Any]]:
    return (run for run in record["runs"] if run["shape"]["name"] == shape)


def rows(run: dict[str, Any], contestant: str) -> Iterator[Row]:
    """Yield the contestant's rows that have a training time, or were stopped."""
    for row in run["contestants"]:
        if row["contestant"] == contestant and row.get("training"):
            yield row


def milliseconds(row: Row) -> float | None:
    """Return a training step's time; of one that was stopped, how long it had."""
    training = row["training"]
    if "ms" in training:
        return float(training["ms"])
    stopped = training.get("stopped_after_s")
    return None if stopped is None else 1e3 * stopped


def ours(run: dict[str, Any], jit: bool, flush: bool = False) -> Row | None:
    """Return the slower training of our two layers in a mode, if both were timed."""
    mode = (jit, flush)
    timed = [
        row["training"]
        for name in OURS
        for row in rows(run, name)
        if (row["jit_compile"], row["flush_denormals"]) == mode
        and "ms" in row["training"]
    ]
    if len(timed) < len(OURS):
        return None
    return max(timed, key=lambda training: training["ms"])


def _fastest(record: dict[str, Any], beside: dict[str, Any]) -> Row | None:
    """Return ours on the backend that is fastest at a run's shape and processor."""
    processor = beside["machine"]["processor"]
    modes = [
        mine
        for run in runs(record, beside["shape"]["name"])
        if run["machine"]["processor"] == processor
        for jit in (False, True)
        for flush in (False, True)
        if (mine := ours(run, jit, flush))
    ]
    return min(modes, key=lambda training: training["ms"], default=None)


def _overlap(one: Row, other: Row) -> bool:
    (low, high), (other_low, other_high) = one["quartiles_ms"], other["quartiles_ms"]
    return bool(low <= other_high and other_low <= high)


def table(record: dict[str, Any]) -> str:
    """Return the targets in Markdown: a row for each, a column for each shape.

    Shapes and targets of which nothing was measured are left out.
    """
    names = [name for name in SHAPES if any(runs(record, name))]
    lines = [line(["against", *names]), "| --- " * (1 + len(names)) + "|"]
    for target in TARGETS:
        cells = [cell(record, target, name) for name in names]
        if any(cells):
            shown = [str(one) if one else "not measured" for one in cells]
            lines.append(line([target.title, *shown]))
    return "\n".join(lines)
