"""The pictures of the examples, drawn from their results alone."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
from files import at_once
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
# Told apart without color, too.
FITS: dict[str, dict[str, Any]] = {
    "unitary": {"marker": "s", "linestyle": "-"},
    "contractive": {"marker": "o", "linestyle": "--"},
}
ROUNDING = 2.0**-24
STYLE: dict[Any, Any] = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 11,
    "font.size": 10,
    "legend.frameon": False,
    "legend.fontsize": 8,
}


def write(figure: Figure, path: Path) -> None:
    """Write a PNG, which several processes may do at a time."""
    with at_once(path) as unfinished:
        figure.savefig(unfinished, dpi=100, format="png")


def demo(result: dict[str, Any], path: Path) -> None:
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
        write(figure, path)


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


def gradient_norms(norms: dict[str, list[float]], path: Path) -> None:
    """Draw the norm of each system's gradient by how many steps it went back."""
    with rc_context(STYLE):
        figure = Figure(figsize=(8, 4.5), layout="constrained")
        axes = figure.subplots()
        lines = itertools.cycle(("-", "--"))  # of two equal ones both are seen
        for (system, of_steps), line in zip(norms.items(), lines, strict=False):
            back = np.array(of_steps[::-1])
            # A logarithmic axis has no 0: the line ends where the gradient does.
            axes.plot(np.where(back > 0.0, back, np.nan), line, label=system)
        axes.set(
            title="Gradient of the last state by an earlier one, before training",
            xlabel="steps back",
            ylabel="norm",
            yscale="log",
            ylim=(1e-12, 10.0),
        )
        axes.legend()
        write(figure, path)


def theorems(result: dict[str, Any], path: Path) -> None:
    """Draw the errors of fits by their size, and the eigenvalues, into a PNG."""
    with rc_context(STYLE):
        figure = Figure(figsize=(11, 4.4), layout="constrained")
        left, right = figure.subplots(1, 2)
        _errors_by_size(left, result)
        _moduli_and_slopes(right, result)
        write(figure, path)


def _errors_by_size(axes: Axes, result: dict[str, Any]) -> None:
    for kind, fits in result["fits"].items():
        _fits(axes, kind, fits)
    _converted_relu(axes, result["relu"])
    axes.set(
        title="Distance from the target, on test sequences",
        xlabel="states of the network",
        ylabel="RMS error of the outputs (no unit)",
        xscale="log",
        yscale="log",
    )
    sizes = result["settings"]["sizes"]
    axes.set_xticks(sizes, [str(size) for size in sizes])
    axes.minorticks_off()
    axes.legend(loc="center right")


def _fits(axes: Axes, kind: str, fits: list[dict[str, Any]]) -> None:
    sizes = [fit["states"] for fit in fits]
    best = [fit["rms"][fit["best"]] for fit in fits]
    label = f"sigmoid, {kind} fit (small: restarts)"
    axes.plot(sizes, best, **FITS[kind], color=COLORS[kind], label=label)
    for fit in fits:
        restarts = [fit["states"]] * len(fit["rms"])
        look = {**FITS[kind], "linestyle": "", "markersize": 3}
        axes.plot(restarts, fit["rms"], **look, color=COLORS[kind])


def _converted_relu(axes: Axes, relu: dict[str, Any]) -> None:
    axes.plot(
        relu["unitary_states"],
        max(relu["rms"], ROUNDING),  # a logarithmic axis has no 0
        "*",
        color="black",
        markersize=12,
        label=f"ReLU, converted by to_unitary: {relu['rms']:.1g}",
    )
    axes.axhline(ROUNDING, color="gray", linewidth=0.8, linestyle=":")
    axes.annotate(
        "rounding of a float32 near 1",
        (1.0, ROUNDING),
        xycoords=("axes fraction", "data"),
        ha="right",
        va="bottom",
        fontsize=8,
        color="dimgray",
    )


def _moduli_and_slopes(axes: Axes, result: dict[str, Any]) -> None:
    networks = [(0, "target", result["linearization"])]
    networks += [
        (place, str(fit["states"]), fit["linearization"])
        for place, fit in enumerate(result["fits"]["unitary"], start=1)
    ]
    for place, _, rows in networks:
        near = next(row for row in rows if row["x"] == 0.0)
        slopes, moduli = near["slopes"], near["moduli"]
        label = "slopes σ′ of the units" if place == 0 else None
        axes.plot([place] * len(slopes), slopes, "_", color="black", ms=14, label=label)
        label = "moduli of the eigenvalues" if place == 0 else None
        axes.plot(
            [place] * len(moduli),
            moduli,
            "o",
            color=COLORS["unitary"],
            fillstyle="none",
            label=label,
        )
    axes.set(
        title="Near the fixed point under the input 0",
        xlabel="network: the target, and unitary fits by their states",
        ylabel="slope σ′, or modulus |λ| (factor per step)",
        ylim=(0, 0.26),
    )
    axes.set_xticks(range(len(networks)), [name for _, name, _ in networks])
    axes.legend(loc="lower right")
