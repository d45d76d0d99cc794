"""The curves of `compare.py`: one picture for each task and delay."""

import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure
from plots import STYLE, write
from systems import SYSTEMS

LINES = ("-", "--", ":")  # told apart without color, too
COLORS = matplotlib.color_sequences["tab10"]


def draw(means: Iterable[dict[str, Any]], folder: Path) -> None:
    """Draw what has been trained so far."""
    groups: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for row in sorted(means, key=order):
        groups.setdefault((row["task"], row["delay"]), []).append(row)
    for (task, delay), rows in groups.items():
        with rc_context(STYLE):
            write(figure(task, delay, rows), folder / f"compare_{task}_{delay}.png")


def order(row: dict[str, Any]) -> tuple[Any, ...]:
    """Sort by task, and as the table of systems has it."""
    return row["task"], row["delay"], list(SYSTEMS).index(row["system"]), row["width"]


def figure(task: str, delay: int, rows: list[dict[str, Any]]) -> Figure:
    """The median over the seeds as a line, and their range as a band."""
    shown = Figure(figsize=(8, 5), layout="constrained")
    axes = shown.subplots()
    looks = itertools.product(LINES, COLORS)
    for row, (line, color) in zip(rows, looks, strict=False):
        losses = np.array(row["losses"], dtype=float)  # None becomes NaN: a gap
        steps = row["every"] * np.arange(1, losses.shape[1] + 1)
        label = f"{row['system']} ({row['parameters']:,} weights)"
        middle = np.median(losses, axis=0)
        axes.plot(steps, middle, line, color=color, label=label)
        if len(losses) > 1:
            low, high = losses.min(axis=0), losses.max(axis=0)
            axes.fill_between(steps, low, high, color=color, alpha=0.12, lw=0)
    axes.axhline(rows[0]["baseline"], color="gray", ls="-.", label="no memory")
    axes.set(yscale="log", xlabel="optimizer steps", ylabel=f"{rows[0]['loss']}")
    shown.legend(loc="outside right upper")
    seeds = sorted({row["seeds"] for row in rows})
    over = " or ".join(map(str, seeds)) + (" seed" if seeds == [1] else " seeds")
    axes.set_title(f"{task}, {delay} steps: held-out loss, {over}", loc="left")
    return shown
