"""The two pages on performance: their tables and pictures, from the results alone.

They are those of `recurrence.json`, and of `avx512.json` what was measured again on a
processor that multiplies faster.

    python benchmarks/performance.py    # fills the pages and draws docs/images/

A table stands between two comments that name it; the text around holds whatever the
numbers are. `tests/benchmarks/test_performance.py` compares the pages with the results.
"""

import re
import textwrap
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import recurrence
import targets
import timings
from contestants import BASE, CHECKPOINT_EVERY, GROWTH, SHAPES
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure  # draws without a screen, unlike pyplot
from measuring import BACKENDS, table
from timings import COLUMNS, Row, runs, timed_row

DOCS = Path(__file__).resolve().parent.parent / "docs"
PAGES = (DOCS / "performance.md", DOCS / "performance_in_detail.md")
FASTER = recurrence.OUTPUT.with_name("avx512.json")
BLOCK = re.compile(r"(<!-- table: (\w+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)

LAYER = "UnitaryRNN"
CHECKPOINTS = f"{LAYER}, checkpoint_every={CHECKPOINT_EVERY}"
HALF = f"{LAYER}, mixed_bfloat16"

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


def main() -> None:
    record, faster = recurrence.load(recurrence.OUTPUT), recurrence.load(FASTER)
    for page in PAGES:
        filled = fill(page.read_text(encoding="utf-8"), record, faster)
        page.write_text(filled, encoding="utf-8")
    draw(record, DOCS / "images")


def fill(page: str, record: Row, faster: Row) -> str:
    """Return the page with the tables of these records."""
    made = tables(record, faster)
    return BLOCK.sub(lambda found: f"{found[1]}\n{made[found[2]]}\n\n{found[4]}", page)


def tables(record: Row, faster: Row) -> dict[str, str]:
    """Return every table of the pages by its name."""
    return {
        "machine": timings.measured(record),
        "targets": targets.ratios(record),
        "promises": targets.promises(record),
        **{f"training_{name}": timings.training(record, name) for name in SHAPES},
        **{name: timings.phase(record, name) for name in ("inference", "streaming")},
        "compiling": timings.compiling(record),
        "memory": timings.memory(record),
        "profile": timings.profile(record),
        "digits": digits(record),
        "growth": timings.exponents(record),
        "paths": timings.paths(record),
        "choices": choices(record, faster),
        "batches": batches(record),
        "faster_machine": timings.measured(faster),
        "faster_targets": targets.ratios(faster),
        "faster_promises": targets.promises(faster),
        "faster_training": timings.training(faster, "pmnist"),
    }


def choices(record: Row, faster: Row) -> str:
    """Return the time as chosen by the other choice's: a row for each choice."""
    kept = f"`checkpoint_every={CHECKPOINT_EVERY}`, not `None`"
    half = "`mixed_bfloat16`, not `float32`, on TensorFlow, with AVX-512"
    rows = {
        "`jit_compile=True`, not `False`, on TensorFlow": partial(_compiled, record),
        "JAX, not TensorFlow in its faster mode": partial(_beside, record, "jax"),
        "PyTorch, not TensorFlow in its faster mode": partial(_beside, record, "torch"),
        **{
            f"{kept}, on {title}": partial(_checkpoints, record, *column)
            for column, title in COLUMNS.items()
        },
        half: partial(_half_precision, faster),
    }
    lines = ([title, *map(show, SHAPES)] for title, show in rows.items())
    return table(["choice", *SHAPES], lines)


def _compiled(record: Row, shape: str) -> str:
    xla, plain = (_step(record, shape, "tensorflow", jit) for jit in (True, False))
    return _ratios(xla, plain, "ms", "mebibytes", "first_s")


def _beside(record: Row, backend: str, shape: str) -> str:
    return _ratios(
        _fastest(record, backend, shape), _fastest(record, "tensorflow", shape), "ms"
    )


def _fastest(record: Row, backend: str, shape: str) -> Row | None:
    """Return the lesser of the two times, where a backend has two."""
    modes = (_step(record, shape, backend, jit) for jit in (True, False))
    times = [step for step in modes if step]
    return min(times, key=lambda step: step["ms"], default=None)


def _checkpoints(record: Row, backend: str, jit: bool, shape: str) -> str:
    kept = _step(record, shape, backend, jit, CHECKPOINTS)
    return _ratios(kept, _step(record, shape, backend, jit), "ms", "mebibytes")


def _half_precision(faster: Row, shape: str) -> str:
    if shape != "wide":
        return ""
    run = faster.get("half_precision")
    half, full = (timed_row(run, name, jit=False) for name in (HALF, LAYER))
    return _ratios(half["training"], full["training"], "ms") if half and full else ""


def _step(
    record: Row, shape: str, backend: str, jit: bool, name: str = LAYER
) -> Row | None:
    """Return the training of a contestant, where it was timed."""
    for run in runs(record, shape):
        if run["backend"] == backend and (row := timed_row(run, name, jit)):
            return row["training"]
    return None


def _ratios(one: Row | None, other: Row | None, *names: str) -> str:
    titles = {"ms": "", "mebibytes": "memory ", "first_s": "first step "}
    if one is None or other is None:
        return ""
    return ", ".join(f"{titles[name]}{one[name] / other[name]:.2f}" for name in names)


def batches(record: Row) -> str:
    """Return the time of one sequence, by that in a batch of the base's size."""
    found = {
        (run["backend"], point["jit_compile"], point["value"]): point["ms"]
        for run in record["growth"]
        for point in run["points"]
        if point["axis"] == "batch"
    }
    lines = []
    for size in sorted({value for *_, value in found}):
        times = [[found.get((*key, n)) for n in (size, BASE.batch)] for key in COLUMNS]
        shown = [
            f"{here / size / (base / BASE.batch):.2g}" if here and base else ""
            for here, base in times
        ]
        lines.append([f"{size}", *shown])
    return table(["batch", *COLUMNS.values()], lines)


def digits(record: Row) -> str:
    """Return the accuracies of `half_precision.py`."""
    found = record.get("digits", {"summary": [], "runs": []})
    lines = (
        [
            f"`{row['policy']}`",
            str(sum(run["policy"] == row["policy"] for run in found["runs"])),
            f"{row['mean']:.1%} ± {row['standard_deviation']:.1%}",
            f"{row['least']:.1%}–{row['most']:.1%}",
        ]
        for row in found["summary"]
    )
    head = ["policy", "seeds", "test accuracy, mean ± standard deviation", "range"]
    return table(head, lines)


def draw(record: Row, folder: Path) -> None:
    """Draw both pictures into a folder."""
    with rc_context(STYLE):
        ratios(record).savefig(folder / RATIOS, dpi=100)
        growth(record).savefig(folder / GROWN, dpi=100)


def ratios(record: Row) -> Figure:
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


def growth(record: Row) -> Figure:
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


def _line(axes: Axes, run: Row, axis: str, exponent: Row) -> None:
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


if __name__ == "__main__":
    main()
