"""Figures 2 and 3: what a model learns of the system by its size, ours and theirs."""

import csv
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from plots import STYLE, write

POSTER = Path(__file__).parent / "reference" / "poster_results.csv"
FLOOR = 0.8  # R², below all that is published
FILLS: dict[str, dict[str, Any]] = {
    "poster": {"linestyle": "-"},
    "identity": {"linestyle": "-.", "alpha": 0.6},
    "ours": {"linestyle": "--", "alpha": 0.6},
}
LABELS = {
    "poster": "the poster's recipe",
    "identity": "from the identity",
    "ours": "our recipe",
}
LOOKS: dict[str, dict[str, Any]] = {
    "rnn": {"color": "#1b6ca8", "marker": "o"},
    "urnn": {"color": "#d1495b", "marker": "s"},
    "lstm": {"color": "#3a7d44", "marker": "^"},
}


def draw(result: dict[str, Any], folder: Path) -> None:
    """Draw a picture for each signal-to-noise ratio."""
    for snr, ceiling in result["ceiling"].items():
        with rc_context(STYLE):
            shown = figure(result["means"], float(snr), ceiling)
            write(shown, folder / f"synthetic_snr{snr}.png")


def figure(means: list[dict[str, Any]], snr: float, ceiling: float) -> Figure:
    """Left by hidden units; right with the URNN's halved, as theorem 1 has it."""
    shown = Figure(figsize=(11, 4.8), layout="constrained")
    left, right = shown.subplots(1, 2, sharey=True)
    published = poster(snr)
    halved = {"urnn": 0.5}
    for model, look in LOOKS.items():
        theirs = [row for row in published if row["model"] == model]
        for axes, share in ((left, 1.0), (right, halved.get(model, 1.0))):
            if axes is right and model == "lstm":
                continue
            for recipe in FILLS:
                of_it = (model, recipe, snr)
                found = [
                    row
                    for row in means
                    if (row["model"], row["recipe"], row["snr"]) == of_it
                ]
                _ours(axes, found, share, look)
            if theirs:
                axes.errorbar(
                    [share * int(row["hidden_units"]) for row in theirs],
                    [float(row["value"]) for row in theirs],
                    [float(row["reading_error"]) for row in theirs],
                    linestyle="none",
                    fillstyle="none",
                    label=f"{model.upper()}, published",
                    **look,
                )
    here = [row for row in means if row["snr"] == snr]
    without_lstm = [row for row in here if row["model"] != "lstm"]
    for axes, rows, shares in ((left, here, {}), (right, without_lstm, halved)):
        axes.axhline(ceiling, color="gray", ls=":", label="ceiling")
        axes.plot([], [], "_", markersize=14, color="gray", label="median")
        _cut_off_low(axes, rows, shares)
    left.set(xlabel="hidden units", ylabel="test R² about zero")
    right.set(xlabel="hidden units of the RNN, half of those of the URNN")
    shown.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=4)
    shown.suptitle(
        f"Synthetic task at {snr:g} dB: mean and 95 % interval, "
        + over([row["realizations"] for row in here])
    )
    return shown


def over(counts: list[int]) -> str:
    """Say of how many realizations means are."""
    least, most = min(counts, default=0), max(counts, default=0)
    if most == 1:
        return "one realization"
    return f"{f'{least} to ' * (least < most)}{most} realizations"


def _ours(
    axes: Axes, rows: list[dict[str, Any]], share: float, look: dict[str, Any]
) -> None:
    if rows:
        rows = sorted(rows, key=lambda row: int(row["units"]))
        recipe = rows[0]["recipe"]
        axes.errorbar(
            [share * row["units"] for row in rows],
            [row["r2_about_zero"]["mean"] for row in rows],
            [row["r2_about_zero"]["half_width"] or 0.0 for row in rows],
            capsize=3,
            label=f"{rows[0]['model'].upper()}, {LABELS[recipe]}",
            **FILLS[recipe],
            **look,
        )
        axes.plot(
            [share * row["units"] for row in rows],
            [row["median"] for row in rows],
            linestyle="none",
            marker="_",
            markersize=14,
            color=look["color"],
        )


def _cut_off_low(
    axes: Axes, means: list[dict[str, Any]], shares: dict[str, float]
) -> None:
    """Let a few scores far below the others not set the scale; mark where they are."""
    low = [row for row in means if row["r2_about_zero"]["mean"] < FLOOR]
    if 2 * len(low) >= len(means):
        return
    axes.set(ylim=(FLOOR, 1.0))
    for row in low:
        units = shares.get(row["model"], 1.0) * row["units"]
        color = LOOKS[row["model"]]["color"]
        axes.plot(units, FLOOR, marker=7, markersize=9, color=color, clip_on=False)


def poster(snr: float) -> list[dict[str, str]]:
    """Return the published points at a ratio, models in lower case."""
    with POSTER.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return [
        {**row, "model": row["model"].lower()}
        for row in rows
        if row["experiment"] == f"synthetic_snr{snr:g}"
    ]
