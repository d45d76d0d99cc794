"""The pictures of the examples, drawn from their results alone."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure  # draws without a screen, unlike pyplot
from matplotlib.patches import Circle
from matplotlib.ticker import MaxNLocator

COLORS = {"contractive": "#1b6ca8", "converted": "#d1495b", "unitary": "#3a7d44"}
LABELS = {
    "contractive": "contractive, before",
    "converted": "converted, after",
    "unitary": "unitary",
}
MARKERS: dict[str, dict[str, Any]] = {
    "contractive": {"marker": "o", "markersize": 5, "fillstyle": "none"},
    "converted": {"marker": ".", "markersize": 5},
    "unitary": {"marker": ".", "markersize": 5},
}
STYLE: dict[Any, Any] = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 11,
    "font.size": 10,
    "legend.frameon": False,
    "legend.fontsize": 8,
}


def permuted_mnist(result: dict[str, Any], path: Path) -> None:
    """Draw training curves, singular values and eigenvalues into a PNG."""
    with rc_context(STYLE):
        figure = Figure(figsize=(11, 4), layout="constrained")
        left, middle, right = figure.subplots(1, 3)
        _training_curves(left, result["training"])
        # The spectrum of a trained unitary matrix would hide that of the converted.
        models = result["models"]
        shown = {kind: models[kind] for kind in models if kind != "unitary"} or models
        _singular_values(middle, shown)
        _eigenvalues(right, shown)
        figure.suptitle(_title(result), fontsize=12)
        figure.savefig(path, dpi=100)


def _title(result: dict[str, Any]) -> str:
    settings = result["settings"]
    accuracies = ", ".join(
        f"{kind} {model['test_accuracy']:.3f}"
        for kind, model in result["models"].items()
    )
    return (
        f"Permuted {settings['dataset']}, {settings['units']} units, "
        f"test accuracy: {accuracies}"
    )


def _training_curves(axes: Axes, training: dict[str, Any]) -> None:
    for kind, record in training.items():
        epochs = [row["epoch"] for row in record["history"]]
        for measure, line in (("accuracy", ":"), ("val_accuracy", "-")):
            values = [row[measure] for row in record["history"]]
            axes.plot(epochs, values, line, color=COLORS[kind], marker=_dot(epochs))
        axes.plot([], [], color=COLORS[kind], label=kind)
        axes.plot(
            record["best_epoch"],
            record["validation_accuracy"],
            "*",
            color=COLORS[kind],
            markersize=12,
        )
    axes.plot([], [], ":", color="gray", label="on training images")
    axes.plot([], [], "*", color="gray", markersize=10, label="epoch kept")
    axes.set(
        title="Training (solid: validation)",
        xlabel="epoch",
        ylabel="accuracy (fraction right)",
        xlim=(0, None if len(epochs) > 1 else 2),
        ylim=(0, 1),
    )
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(loc="lower right")


def _dot(epochs: list[int]) -> str | None:
    # A line of one epoch would be invisible.
    return "o" if len(epochs) == 1 else None


def _singular_values(axes: Axes, models: dict[str, Any]) -> None:
    for kind, model in models.items():
        values = model["singular_values"]
        axes.plot(
            np.arange(1, len(values) + 1),
            values,
            linestyle="none",
            **MARKERS[kind],
            color=COLORS[kind],
            label=LABELS[kind],
        )
    axes.axhline(1.0, color="black", linewidth=0.6, zorder=0)
    axes.set(
        title="Singular values of the recurrent matrix",
        xlabel="index, from the largest",
        ylabel="singular value",
        ylim=(0, 1.1),
    )
    axes.legend(loc="lower right")


def _eigenvalues(axes: Axes, models: dict[str, Any]) -> None:
    axes.add_patch(Circle((0, 0), 1, fill=False, color="black", linewidth=0.6))
    for kind, model in models.items():
        real, imaginary = np.transpose(model["eigenvalues"])
        axes.plot(
            real,
            imaginary,
            linestyle="none",
            **MARKERS[kind],
            color=COLORS[kind],
            label=LABELS[kind],
        )
    axes.set(
        title="Its eigenvalues, and the circle |λ| = 1",
        xlabel="real part",
        ylabel="imaginary part",
        xlim=(-1.15, 1.15),
        ylim=(-1.15, 1.15),
        aspect="equal",
    )
