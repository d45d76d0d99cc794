"""What is promised of the layers, and whether a result keeps it.

Ratios: the time of ours divided by the contestant's, both medians of one run. Ours is
the slower of `UnitaryRNN` and `ContractiveRNN`, as layers, in the contestant's mode.
Promises: shares of a step, memory, and half precision.
"""

import itertools
from collections.abc import Iterator
from typing import NamedTuple

from contestants import OURS, SHAPES
from measuring import table
from timings import COLUMNS, Row, find, plain_rows, runs, timed_row

# At 1.0: no slower by more than this, and within the spread.
SLACK = 1.03


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


def cell(record: Row, target: Target, shape: str) -> Cell | None:
    """Return the ratio for a target and a shape; None where it wasn't measured."""
    cells = list(_cells(record, target, shape))
    # Of geotorch's two modes the faster counts, which gives the larger ratio, too.
    return max(cells, key=lambda one: one.ratio, default=None)


def _cells(record: Row, target: Target, shape: str) -> Iterator[Cell]:
    for run, jit, flush in itertools.product(
        runs(record, shape), target.jits, target.flushes
    ):
        row = find(run, target.against, jit, flush)
        if run["backend"] not in target.backends or not row or not row.get("training"):
            continue
        mine = _fastest(record, run) if target.best_backend else ours(run, jit, flush)
        if mine and (theirs := milliseconds(row)):
            stopped = "ms" not in row["training"]
            overlap = not stopped and _overlap(mine, row["training"])
            yield Cell(mine["ms"] / theirs, target.most[shape], stopped, overlap)


def milliseconds(row: Row) -> float | None:
    """Return a training step's time; of one that was stopped, how long it had."""
    training = row["training"]
    if "ms" in training:
        return float(training["ms"])
    stopped = training.get("stopped_after_s")
    return None if stopped is None else 1e3 * stopped


def ours(run: Row, jit: bool, flush: bool = False) -> Row | None:
    """Return the slower training of our two layers in a mode, if both were timed."""
    timed = [timed_row(run, name, jit, flush) for name in OURS]
    trained = [row["training"] for row in timed if row]
    if len(trained) < len(OURS):
        return None
    return max(trained, key=lambda training: training["ms"])


def _fastest(record: Row, beside: Row) -> Row | None:
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


def ratios(record: Row) -> str:
    """Return the ratios in Markdown: a row for each target, a column for each shape.

    Shapes and targets of which nothing was measured are left out.
    """
    names = [name for name in SHAPES if any(runs(record, name))]
    lines = []
    for target in TARGETS:
        cells = [cell(record, target, name) for name in names]
        if any(cells):
            shown = [str(one) if one else "not measured" for one in cells]
            lines.append([target.title, *shown])
    return table(["against", *names], lines)


class Bound(NamedTuple):
    """What a promised number may be at most, or must be at least."""

    sign: str  # ≤, < or ≥
    limit: float
    form: str = "g"  # how the limit is shown

    def __str__(self) -> str:
        return f"{self.sign} {self.limit:{self.form}}"

    def met_by(self, value: float) -> bool:
        if self.sign == "≥":
            return value >= self.limit
        return value < self.limit or (self.sign == "≤" and value == self.limit)


PROJECTION = Bound("≤", 0.02, ".0%")  # of a step
MEMORY = Bound("≤", 1.25)  # of SimpleRNN's
CHECKPOINTED_MEMORY = Bound("<", 1.0)  # likewise
PEAK = {"pmnist": Bound("≥", 0.65, ".0%"), "wide": Bound("≥", 0.90, ".0%")}
BFLOAT16 = Bound("≥", 1.3)  # times faster


class Promise(NamedTuple):
    """One measured number beside its bound, as a row shows it."""

    title: str
    shape: str
    where: str
    measured: str
    bound: str
    met: str


def promises(record: Row) -> str:
    """Return the promises in Markdown, a row for each number that was measured."""
    head = ["what", "shape", "where", "measured", "target", ""]
    return table(head, _promises(record))


def _promises(record: Row) -> Iterator[Promise]:
    for shape in PEAK:
        for run in runs(record, shape):
            yield from _projections(run)
    for shape, bound in PEAK.items():
        yield from _peak(record, shape, bound)
    for run in record["runs"]:
        yield from _memory(run)
        yield from _checkpoints(run)
    if "half_precision" in record:
        yield from _bfloat16(record["half_precision"])


def _promise(
    title: str, run: Row, jit: bool, value: float, bound: Bound, form: str = ".2f"
) -> Promise:
    where = COLUMNS[run["backend"], jit]
    met = "met" if bound.met_by(value) else "**missed**"
    shown = f"{value:{form}}"
    return Promise(title, run["shape"]["name"], where, shown, str(bound), met)


def _projections(run: Row) -> Iterator[Promise]:
    """The share of the projection, timed alone, in a training step: the larger one."""
    for jit in (False, True):
        shares = {
            name: row["projection"]["ms"] / row["training"]["ms"]
            for name in OURS
            if (row := timed_row(run, name, jit)) and "ms" in row.get("projection", {})
        }
        if shares:
            name = max(shares, key=lambda one: shares[one])
            title = f"projection's share of a step, {name}"
            yield _promise(title, run, jit, shares[name], PROJECTION, ".1%")


def _peak(record: Row, shape: str, bound: Bound) -> Iterator[Promise]:
    """What each layer has of its backend's peak, on its best backend and mode."""
    for name in OURS:
        shares = [
            (share, run, row["jit_compile"])
            for run in runs(record, shape)
            for row in plain_rows(run, name)
            if (share := of_peak(run, row)) is not None
        ]
        if shares:
            share, run, jit = max(shares, key=lambda one: one[0])
            title = f"share of the matrix-product peak, {name}"
            yield _promise(title, run, jit, share, bound, ".0%")


def of_peak(run: Row, row: Row) -> float | None:
    """Return the products that a step needs by its time, over the backend's peak."""
    products = list(plain_rows(run, "matrix product"))
    if not products:
        return None
    s = run["shape"]
    product = 2 * s["steps"] * s["batch"] * s["units"] ** 2
    inputs = 2 * s["steps"] * s["batch"] * s["units"] * s["features"]
    # Forward, the gradient of the state and that of the matrix; no gradient of inputs.
    speed = (3 * product + 2 * inputs) / row["training"]["ms"]
    peak = max(product / one["training"]["ms"] for one in products)
    return float(speed / peak)


def _memory(run: Row) -> Iterator[Promise]:
    """The larger memory of our two layers by that of `SimpleRNN`."""
    for jit in (False, True):
        taken = _mebibytes(run, ("SimpleRNN", *OURS), jit)
        if len(taken) == 1 + len(OURS):
            simple = taken.pop("SimpleRNN")
            title = "memory of a step, divided by `SimpleRNN`'s"
            yield _promise(title, run, jit, max(taken.values()) / simple, MEMORY)


def _checkpoints(run: Row) -> Iterator[Promise]:
    """The memory of layers that keep some states only, by that of `SimpleRNN`."""
    names = {row["contestant"] for row in run["contestants"]}
    for name in sorted(name for name in names if "checkpoint_every" in name):
        for jit in (False, True):
            taken = _mebibytes(run, ("SimpleRNN", name), jit)
            if len(taken) == 2:
                ratio = taken[name] / taken["SimpleRNN"]
                title = f"memory of a step of `{name}`, divided by `SimpleRNN`'s"
                yield _promise(title, run, jit, ratio, CHECKPOINTED_MEMORY)


def _mebibytes(run: Row, names: tuple[str, ...], jit: bool) -> dict[str, float]:
    """Return what was measured of a step's memory, of `SimpleRNN`'s at least 1 MiB."""
    taken = {
        name: row["training"]["mebibytes"]
        for name in names
        if (row := timed_row(run, name, jit)) and "mebibytes" in row["training"]
    }
    if "SimpleRNN" in taken:
        # What fits into pages that are there already counts as nothing.
        taken["SimpleRNN"] = max(taken["SimpleRNN"], 1.0)
    return taken


def _bfloat16(run: Row) -> Iterator[Promise]:
    for jit in (False, True):
        half = timed_row(run, "UnitaryRNN, mixed_bfloat16", jit)
        full = timed_row(run, "UnitaryRNN", jit)
        if half and full:
            faster = full["training"]["ms"] / half["training"]["ms"]
            title = "`mixed_bfloat16`, times faster than float32"
            promise = _promise(title, run, jit, faster, BFLOAT16)
            yield promise._replace(shape="wide")  # half precision's shape, but for name
