"""The targets beside the ratios of `targets.py`, and whether a result meets them."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import targets
from contestants import OURS
from markdown import BACKENDS
from targets import Row

MOST_PROJECTION = 0.02  # of a step
MOST_MEMORY = 1.25  # of SimpleRNN's
LEAST_OF_PEAK = {"pmnist": 0.65, "wide": 0.90}
LEAST_BFLOAT16 = 1.3  # times faster


class Promise(NamedTuple):
    """One measured number beside its target."""

    title: str
    shape: str
    where: str
    measured: str
    target: str
    met: bool


def table(record: dict[str, Any]) -> str:
    """Return them in Markdown."""
    lines = ["| what | shape | where | measured | target | |", "| --- " * 6 + "|"]
    for promise in promises(record):
        met = "met" if promise.met else "**missed**"
        lines.append(f"| {' | '.join(promise[:5])} | {met} |")
    return "\n".join(lines)


def promises(record: dict[str, Any]) -> Iterator[Promise]:
    for shape in LEAST_OF_PEAK:
        for run in targets.runs(record, shape):
            yield from _projections(run)
    for shape, least in LEAST_OF_PEAK.items():
        yield from _peak(record, shape, least)
    for run in record["runs"]:
        yield from _memory(run)
        yield from _checkpoints(run)
    if "half_precision" in record:
        yield from _bfloat16(record["half_precision"])


def _projections(run: dict[str, Any]) -> Iterator[Promise]:
    """The share of the projection, timed alone, in a training step: the larger one."""
    shares = [
        (row["projection"]["ms"] / row["training"]["ms"], row)
        for name in OURS
        for row in plain_rows(run, name)
        if "ms" in row.get("projection", {})
    ]
    for jit in sorted({row["jit_compile"] for _, row in shares}):
        share, row = max(
            (one for one in shares if one[1]["jit_compile"] == jit),
            key=lambda one: one[0],
        )
        yield Promise(
            f"projection's share of a step, {row['contestant']}",
            run["shape"]["name"],
            _where(run, jit),
            f"{share:.1%}",
            f"≤ {MOST_PROJECTION:.0%}",
            share <= MOST_PROJECTION,
        )


def _peak(record: dict[str, Any], shape: str, least: float) -> Iterator[Promise]:
    """What each layer has of its backend's peak, on its best backend and mode."""
    for name in OURS:
        found = [
            (share, _where(run, row["jit_compile"]))
            for run in targets.runs(record, shape)
            for row in plain_rows(run, name)
            if (share := of_peak(run, row)) is not None
        ]
        if found:
            share, where = max(found)
            yield Promise(
                f"share of the matrix-product peak, {name}",
                shape,
                where,
                f"{share:.0%}",
                f"≥ {least:.0%}",
                share >= least,
            )


def of_peak(run: dict[str, Any], row: Row) -> float | None:
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


def _memory(run: dict[str, Any]) -> Iterator[Promise]:
    for jit in (False, True):
        taken = {
            name: row["training"]["mebibytes"]
            for name in ("SimpleRNN", *OURS)
            for row in plain_rows(run, name)
            if row["jit_compile"] == jit and "mebibytes" in row["training"]
        }
        if len(taken) == 1 + len(OURS):
            # What fits into pages that are there already counts as nothing.
            ratio = max(taken[name] for name in OURS) / max(taken["SimpleRNN"], 1.0)
            yield Promise(
                "memory of a step, divided by `SimpleRNN`'s",
                run["shape"]["name"],
                _where(run, jit),
                f"{ratio:.2f}",
                f"≤ {MOST_MEMORY}",
                ratio <= MOST_MEMORY,
            )


def _checkpoints(run: dict[str, Any]) -> Iterator[Promise]:
    """The layers that keep some states only take less than `SimpleRNN`."""
    names = {row["contestant"] for row in run["contestants"]}
    for name in sorted(name for name in names if "checkpoint_every" in name):
        for row in plain_rows(run, name):
            for simple in plain_rows(run, "SimpleRNN"):
                measured = all("mebibytes" in one["training"] for one in (row, simple))
                if measured and simple["jit_compile"] == row["jit_compile"]:
                    yield _memory_ratio(run, row, simple)


def _memory_ratio(run: dict[str, Any], row: Row, simple: Row) -> Promise:
    taken, least = (one["training"]["mebibytes"] for one in (row, simple))
    ratio = taken / max(least, 1.0)
    return Promise(
        f"memory of a step of `{row['contestant']}`, divided by `SimpleRNN`'s",
        run["shape"]["name"],
        _where(run, row["jit_compile"]),
        f"{ratio:.2f}",
        "< 1",
        ratio < 1.0,
    )


def _bfloat16(run: dict[str, Any]) -> Iterator[Promise]:
    for short in plain_rows(run, "UnitaryRNN, mixed_bfloat16"):
        for full in plain_rows(run, "UnitaryRNN"):
            if full["jit_compile"] == short["jit_compile"]:
                faster = full["training"]["ms"] / short["training"]["ms"]
                yield Promise(
                    "`mixed_bfloat16`, times faster than float32",
                    "wide",
                    _where(run, full["jit_compile"]),
                    f"{faster:.2f}",
                    f"≥ {LEAST_BFLOAT16}",
                    faster >= LEAST_BFLOAT16,
                )


def plain_rows(run: dict[str, Any], name: str) -> Iterator[Row]:
    """Yield a contestant's timed rows with denormals left as they are."""
    for row in targets.rows(run, name):
        if not row["flush_denormals"] and "ms" in row["training"]:
            yield row


def _where(run: dict[str, Any], jit: bool) -> str:
    xla = ", XLA" if jit and run["backend"] == "tensorflow" else ""
    return BACKENDS[run["backend"]] + xla
