"""Figure 4: test accuracy by hidden units, ours and theirs; how it came about."""

import csv
import math
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from plots import STYLE, write
from synthetic_plots import POSTER

LOOKS: dict[str, dict[str, Any]] = {
    "urnn": {"color": "#d1495b", "marker": "s", "label": "URNN"},
    "contrnn": {"color": "#3a7d44", "marker": "^", "label": "ContRNN"},
    "rnn-1e-3": {"color": "#1b6ca8", "marker": "o", "label": "RNN, rate 1e-3"},
    "rnn-1e-4": {"color": "#7a6c5d", "marker": "D", "label": "RNN, rate 1e-4"},
    "urnn-ours": {
        "color": "#d1495b",
        "marker": "*",
        "linestyle": "--",
        "label": "URNN, our recipe",
    },
    "contrnn-ours": {
        "color": "#3a7d44",
        "marker": "P",
        "linestyle": "--",
        "label": "ContRNN, our recipe",
    },
}
# A curve of the poster: its model and its learning rate there.
PUBLISHED = {
    "urnn": ("URNN", 1e-3),
    "contrnn": ("ContRNN", 1e-3),
    "rnn-1e-3": ("RNN", 1e-3),
    "rnn-1e-4": ("RNN", 1e-4),
}
Points = list[dict[str, Any]]


def draw(points: Points, folder: Path) -> None:
    """Draw the figure, the training curves, and who was taken for whom."""
    pictures = {
        "permuted_mnist.png": figure(points),
        "permuted_mnist_epochs.png": epochs(points),
        "permuted_mnist_confusion.png": confusion(points),
    }
    for name, picture in pictures.items():
        write(picture, folder / name)


def figure(points: Points) -> Figure:
    """The test accuracy of each curve by its hidden units, beside the poster's."""
    with rc_context(STYLE):
        shown = Figure(figsize=(7, 4.8), layout="constrained")
        axes = shown.subplots()
        ours = by_curve(points)
        for curve, look in LOOKS.items():
            rows = ours.get(curve, [])
            if rows:
                of = ", ours" * (curve in PUBLISHED)
                axes.plot(
                    [row["trial"]["units"] for row in rows],
                    [row["test_accuracy"] for row in rows],
                    **{**look, "label": look["label"] + of},
                )
            if _is_mnist(points):
                _published(axes, curve)
        axes.set(
            title=f"Permuted {_dataset(points)}",
            xlabel="hidden units",
            ylabel="test accuracy (fraction right)",
        )
        shown.legend(loc="outside lower center", ncols=3)
    return shown


def epochs(points: Points) -> Figure:
    """The validation accuracy of each size by the epoch, a panel for each curve."""
    curves = by_curve(points)
    with rc_context(STYLE):
        shown, panels = _panels(len(curves), (3.2, 3.6), sharey=True)
        for axes, (curve, rows) in zip(panels.flat, curves.items(), strict=False):
            for place, row in enumerate(rows, start=1):
                accuracies = row["validation_accuracies"]
                color = str(0.85 * (1.0 - place / len(rows)))  # the larger, the darker
                line = range(1, len(accuracies) + 1)
                axes.plot(line, accuracies, color=color, label=row["trial"]["units"])
                best = row["best_epoch"]
                axes.plot(best, accuracies[best - 1], "*", color=color)
            axes.set(title=LOOKS[curve]["label"], xlabel="epoch")
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            axes.legend(title="units")
        for axes in panels[:, 0]:
            axes.set(ylabel="validation accuracy (star: kept)")
    return shown


def confusion(points: Points) -> Figure:
    """Who was taken for whom, by the largest network of each curve."""
    curves = by_curve(points)
    with rc_context(STYLE):
        shown, panels = _panels(len(curves), (3.4, 3.8))
        for axes, (curve, rows) in zip(panels.flat, curves.items(), strict=False):
            largest = rows[-1]
            counts = np.array(largest["confusion"])
            shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
            axes.imshow(shares, cmap="Blues", vmin=0.0, vmax=1.0)
            for (true, guessed), count in np.ndenumerate(counts):
                if count:
                    light = "white" if shares[true, guessed] > 0.5 else "black"
                    place = {"ha": "center", "va": "center", "fontsize": 6}
                    axes.text(guessed, true, str(count), color=light, **place)
            axes.set(
                title=f"{LOOKS[curve]['label']}, {largest['trial']['units']} units",
                xlabel="class given",
                ylabel="true class",
                xticks=range(len(counts)),
                yticks=range(len(counts)),
            )
    return shown


def _panels(
    count: int, size: tuple[float, float], sharey: bool = False
) -> tuple[Figure, Any]:
    """Return a figure with so many panels, in two rows where they are more than three.

    `size` is that of a panel, in inches.
    """
    rows = 1 if count <= 3 else 2
    columns = math.ceil(count / rows)
    whole = (size[0] * columns, size[1] * rows)
    shown = Figure(figsize=whole, layout="constrained")
    panels = shown.subplots(rows, columns, squeeze=False, sharey=sharey)
    for axes in panels.flat[count:]:
        axes.set_axis_off()
    return shown, panels


def by_curve(points: Points) -> dict[str, Points]:
    """Return the points of each curve that has any, by their size."""
    found = {
        curve: [row for row in points if row["trial"]["curve"] == curve]
        for curve in LOOKS
    }
    return {
        curve: sorted(rows, key=lambda row: int(row["trial"]["units"]))
        for curve, rows in found.items()
        if rows
    }


def ended(row: dict[str, Any]) -> bool:
    """Whether patience or a rate of 0 ended a point: more epochs won't go on."""
    return row["stopped_early"] or row.get("decays", False)  # not in rows before 0.5


def epochs_of(row: dict[str, Any]) -> str:
    """Return how many epochs there were, `+` where more of them would go on."""
    return f"{row['epochs']}{'' if ended(row) else '+'}"


def poster(curve: str) -> list[dict[str, str]]:
    """Return the published points of a curve: none of one that is ours alone."""
    if curve not in PUBLISHED:
        return []
    model, rate = PUBLISHED[curve]
    with POSTER.open(newline="", encoding="utf-8") as file:
        return [
            row
            for row in csv.DictReader(file)
            if row["experiment"] == "permuted_mnist"
            and row["model"] == model
            and float(row["learning_rate"]) == rate
        ]


def _published(axes: Axes, curve: str) -> None:
    rows, look = poster(curve), LOOKS[curve]
    if not rows:
        return
    axes.errorbar(
        [int(row["hidden_units"]) for row in rows],
        [float(row["value"]) for row in rows],
        [float(row["reading_error"]) for row in rows],
        linestyle=":",
        fillstyle="none",
        **{**look, "label": f"{look['label']}, poster"},
    )


def _dataset(points: Points) -> str:
    return {"mnist": "MNIST", "digits": "digits (8 x 8)"}[
        points[0]["settings"]["dataset"]
    ]


def _is_mnist(points: Points) -> bool:
    return bool(points[0]["settings"]["dataset"] == "mnist")
