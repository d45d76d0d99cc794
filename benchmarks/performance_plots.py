"""The pictures of the pages on performance, drawn from `recurrence.json` alone."""

import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import targets
from markdown import BACKENDS
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure  # draws without a screen, unlike pyplot
from shapes import GROWTH, SHAPES

STYLE: dict[Any, Any] = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "font.size": 9,
    "legend.frameon": False,
    "legend.fontsize": 8,
}
COLORS = {"small": "#1b6ca8", "pmnist": "#d1495b", "wide": "#3a7d44", "long": "#8a6d3b"}
# Told apart without color, too.
MARKERS = {"tensorflow": "s", "jax": "o", "torch": "^"}
BACKEND_COLORS = {"tensorflow": "#d1495b", "jax": "#1b6ca8", "torch": "#3a7d44"}
TICKS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
RATIOS, GROWN = "performance_ratios.png", "performance_growth.png"


def draw(record: dict[str, Any], folder: Path) -> None:
    """Draw both pictures into a folder."""
    with rc_context(STYLE):
        ratios(record).savefig(folder / RATIOS, dpi=100)
        growth(record).savefig(folder / GROWN, dpi=100)


def ratios(record: dict[str, Any]) -> Figure:
    """Ours by each contestant: a bar for each shape, a line where the target is."""
    figure = Figure(figsize=(11, 4.4), layout="constrained")
    axes = figure.subplots()
    width = 0.8 / len(SHAPES)
    for number, shape in enumerate(SHAPES):
        for place, target in enumerate(targets.TARGETS):
            left = place + (number - len(SHAPES) / 2) * width
            _bar(axes, left, width, targets.cell(record, target, shape), shape)
            axes.hlines(target.most[shape], left, left + width, color="black", lw=1.5)
        axes.bar([0], [0], color=COLORS[shape], label=shape)
    axes.hlines([], 0, 0, color="black", lw=1.5, label="target: at most")
    axes.axhline(1.0, color="gray", lw=0.6, zorder=0)
    axes.set(
        title="Time of a training step, ours divided by the contestant's",
        ylabel="ratio (less is faster)",
        yscale="log",
    )
    titles = [target.title.replace("`", "") for target in targets.TARGETS]
    axes.set_xticks(range(len(titles)), [textwrap.fill(one, 18) for one in titles])
    least, most = axes.get_ylim()
    ticks = [tick for tick in TICKS if least <= tick <= most]
    axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    figure.legend(ncols=len(SHAPES) + 1, loc="outside lower center")
    return figure


def _bar(
    axes: Axes, left: float, width: float, cell: targets.Cell | None, shape: str
) -> None:
    if cell is None:
        return
    look: dict[str, Any] = {"color": COLORS[shape], "alpha": 0.8}
    if not cell.met:
        look["hatch"] = "//"
    axes.bar(left, cell.ratio, width, align="edge", **look)


def growth(record: dict[str, Any]) -> Figure:
    """Milliseconds of our step against each size, and the fitted lines."""
    figure = Figure(figsize=(11, 3.6), layout="constrained")
    for axes, axis in zip(
        figure.subplots(1, len(GROWTH), sharey=True), GROWTH, strict=True
    ):
        for run in record["growth"]:
            for exponent in run["exponents"]:
                if exponent["axis"] == axis:
                    _line(axes, run, axis, exponent)
        axes.set(xlabel=axis, xscale="log", yscale="log")
        axes.set_xticks(GROWTH[axis], [str(value) for value in GROWTH[axis]])
        axes.minorticks_off()
        if axes.lines:
            axes.legend(title=f"{axis} to the power")
    figure.axes[0].set_ylabel("training step (ms)")
    figure.suptitle("Growth of a training step with one size, the others fixed")
    return figure


def _line(axes: Axes, run: dict[str, Any], axis: str, exponent: dict[str, Any]) -> None:
    jit, backend = exponent["jit_compile"], run["backend"]
    points = [
        (point["value"], point["ms"])
        for point in run["points"]
        if (point["axis"], point["jit_compile"]) == (axis, jit)
    ]
    x, y = np.transpose(points)
    xla = ", XLA" if jit and backend == "tensorflow" else ""
    look: dict[str, Any] = {
        "marker": MARKERS[backend],
        "color": BACKEND_COLORS[backend],
    }
    label = f"{exponent['exponent']:.2f}: {BACKENDS[backend]}{xla}"
    axes.plot(x, y, linestyle="--" if xla else "-", label=label, **look)
