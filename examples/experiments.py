"""The page of the experiments: its tables and pictures, from the committed results.

    python examples/experiments.py    # fills docs/experiments.md, draws docs/images/

A table stands between two comments that name it; the text around holds whatever the
numbers are. `tests/examples/test_experiments.py` compares the page with the results.
"""

import json
import re
import statistics
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import compare
import compare_plots
import permuted_mnist
import permuted_mnist_plots
import plots
import synthetic
import synthetic_plots
import tables
from files import one_sentence, write_text
from systems import SYSTEMS

RESULTS = Path(__file__).parent / "results"
DOCS = Path(__file__).resolve().parent.parent / "docs"
PAGE = DOCS / "experiments.md"
BLOCK = re.compile(r"(<!-- table: (\w+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)

Row = dict[str, Any]
Rows = list[Row]


def main() -> None:
    with one_sentence("experiments.py"):
        learned, points = figures_2_and_3(), figure_4()
        write_text(PAGE, fill(PAGE.read_text(encoding="utf-8"), learned, points))
        synthetic_plots.draw(synthetic.summary(learned), DOCS / "images")
        permuted_mnist_plots.draw(points, DOCS / "images")
        compare_plots.draw(compare.means(compared()), DOCS / "images")
        norms = json.loads((RESULTS / "gradients.json").read_text())["norms"]
        plots.gradient_norms(norms, DOCS / "images" / "gradients.png")


def figures_2_and_3() -> Rows:
    """Return the committed trials of figures 2 and 3."""
    journal = synthetic.journal_of(RESULTS / "synthetic")
    return list(journal.latest().values())


def one_realization() -> Rows:
    """Return the poster's preset for one realization, timed on two quiet cores."""
    return synthetic.journal_of(RESULTS / "synthetic_time").rows()


def figure_4() -> Rows:
    """Return the committed points of figure 4."""
    journal = permuted_mnist.journal_of(RESULTS / "permuted")
    return list(permuted_mnist.latest(journal).values())


def one_epoch() -> Rows:
    """Return an epoch of the largest URNN of figure 4 on two cores, by backend."""
    return permuted_mnist.journal_of(RESULTS / "permuted_epoch").rows()


def compared() -> Rows:
    """Return the committed trials of the comparison of all systems."""
    return list(compare.journal_of(RESULTS / "compare").latest().values())


def fill(page: str, learned: Rows, points: Rows) -> str:
    """Return the page with the tables of these results."""
    found = synthetic.summary(learned)
    made = {
        "figures_2_and_3": scores(found["means"]),
        "medians": medians(found["means"]),
        "pairs": pairs(found["pairs"]),
        "systems": systems(learned),
        "figures_2_and_3_runs": learning(learned),
        "figures_2_and_3_time": preset_time(one_realization()),
        "figure_4": accuracies(points),
        "figure_4_runs": training(points),
        "figure_4_epoch": epoch_times(one_epoch()),
        "compared": last_losses(compare.means(compared())),
        "compared_runs": comparing_time(compared()),
    }
    return BLOCK.sub(lambda found: f"{found[1]}\n{made[found[2]]}\n\n{found[4]}", page)


def scores(means: Rows) -> str:
    """Return ours beside the poster's, a row for each ratio and size."""
    return _by_size(means, _beside_the_posters)


def _beside_the_posters(row: Row) -> str:
    ours = row["r2_about_zero"]
    shown = synthetic.spread(ours)
    for point in synthetic_plots.poster(row["snr"]):
        same = point["model"] == row["model"]
        if same and int(point["hidden_units"]) == row["units"]:
            shown += f" ({_published(point, ours['mean'], ours['half_width'] or 0.0)})"
    return shown


def _published(point: dict[str, str], ours: float, interval: float = 0.0) -> str:
    """Return the value read off the poster, and whether ours lies below it."""
    theirs, error = float(point["value"]), float(point["reading_error"])
    below = ours + max(error, interval) < theirs - 1e-9  # of decimals, in binary
    return f"{theirs:.3f}" + ", **below**" * below


def medians(means: Rows) -> str:
    """Return the medians, which single realizations that diverged don't move."""
    return _by_size(means, lambda row: f"{row['median']:.4f}")


def _by_size(means: Rows, show: Callable[[Row], str]) -> str:
    found = {tuple(row[name] for name in synthetic.GROUP): row for row in means}
    counts: dict[tuple[str, str], list[int]] = {}
    for key, row in found.items():
        counts.setdefault(key[:2], []).append(row["realizations"])
    columns = [
        (model, recipe)
        for recipe in synthetic_plots.FILLS
        for model in synthetic_plots.LOOKS
        if (model, recipe) in counts
    ]
    labels = [
        ", ".join(
            [
                model.upper(),
                *[synthetic_plots.LABELS[recipe]] * (recipe != "poster"),
                synthetic_plots.over(counts[model, recipe]),
            ]
        )
        for model, recipe in columns
    ]
    rows = []
    for snr, units in sorted({key[2:][::-1] for key in found}, key=_downwards):
        cells = [
            show(found[key]) if (key := (*column, units, snr)) in found else ""
            for column in columns
        ]
        rows.append([f"{snr:g}", str(units), *cells])
    return tables.table(["dB", "units", *labels], rows)


def _downwards(of: tuple[float, int]) -> tuple[float, int]:
    """Order by ratio from the largest, then by size from the smallest."""
    snr, units = of
    return -snr, units


def pairs(rows: Rows) -> str:
    """Return the differences of URNNs and RNNs of half their units."""
    lines = [
        [
            f"{row['snr']:g}",
            str(row["units"]),
            row["recipe"],
            str(row["units"] // 2),
            row["against"],
            synthetic.spread(row["difference"]),
            f"{row['median']:.4f}",
            f"{row['better']} of {row['realizations']}",
            f"{row['p_value']:.2g}",
        ]
        for row in rows
    ]
    models = ["URNN", "recipe", "RNN", "recipe"]
    head = ["dB", *models, "difference of R²", "median", "better", "p"]
    return tables.table(head, lines)


def systems(rows: Rows) -> str:
    """Return what was measured of the systems that gave the data."""
    drawn: dict[float, dict[int, Row]] = {}
    for row in rows:
        trial = row["trial"]
        drawn.setdefault(trial["snr"], {})[trial["realization"]] = row
    lines = []
    for snr, by_realization in drawn.items():
        on = [share for row in by_realization.values() for share in row["on"]]
        measured = [row["measured_snr"] for row in by_realization.values()]
        lines.append(
            [
                f"{snr:g}",
                str(len(by_realization)),
                f"{min(on):.3f} to {max(on):.3f}",
                f"{min(measured):.3f} to {max(measured):.3f}",
            ]
        )
    head = ["dB", "realizations", "share of the time that units are on", "dB, measured"]
    return tables.table(head, lines)


def learning(rows: Rows) -> str:
    """Return how the trials of each model and recipe came about."""
    groups: dict[tuple[str, str], Rows] = {}
    for row in rows:
        key = (row["trial"]["model"], row["trial"]["recipe"])
        groups.setdefault(key, []).append(row)
    lines = [
        [
            model.upper(),
            recipe,
            str(len(group)),
            str(sum(row["diverged"] for row in group)),
            str(sum(row["best_epoch"] == 0 for row in group)),
            *_times(group),
            _all(map(_environment, group)),
            _all(map(_commit, group)),
        ]
        for (model, recipe), group in groups.items()
    ]
    head = ["model", "recipe", "trials", "diverged", "untrained", "seconds"]
    head += ["hours", "on", "commit"]
    return tables.table(head, lines)


def _times(rows: Rows) -> list[str]:
    """Return the seconds of one trial, the median of a size, and the hours of all."""
    by_size: dict[int, list[float]] = {}
    for row in rows:
        by_size.setdefault(row["trial"]["units"], []).append(row["seconds"])
    typical = [statistics.median(found) for found in by_size.values()]
    hours = sum(row["seconds"] for row in rows) / 3600
    return [f"{min(typical):.0f} to {max(typical):.0f}", f"{hours:.1f}"]


def preset_time(rows: Rows) -> str:
    """Return how long the poster's preset takes, from one realization of its 30."""
    seconds = sum(row["seconds"] for row in rows)
    cells = [str(len(rows)), f"{seconds / 60:.1f}", f"{30 * seconds / 2 / 3600:.1f}"]
    cells += [_all(map(_environment, rows)), _all(map(_commit, rows))]
    head = ["trials", "minutes, one by one", "hours of 30, two at a time"]
    return tables.table([*head, "on", "commit"], [cells])


def _all(found: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(found))


def _environment(row: Row) -> str:
    """Return the backend and the device that trained it, a GPU by its name."""
    return _all(f"{one['backend']}, {_device(one)}" for one in _trained_by(row))


def _device(environment: Row) -> str:
    on_gpu = "cpu" not in environment["device"]
    return str((on_gpu and environment.get("gpu")) or environment["device"])


def _commit(row: Row) -> str:
    """Return the commit in short, and whether the code differed from it."""
    found = [(one["commit"] or "none").partition("-") for one in _trained_by(row)]
    return _all(commit[:7] + f" ({dirty})" * bool(dirty) for commit, _, dirty in found)


def _trained_by(row: Row) -> list[Row]:
    """Return the environments of a row's pieces; rows before 0.5 have only the last."""
    pieces = [piece["environment"] for piece in row.get("pieces", [])]
    return pieces or [row["environment"]]


def accuracies(points: Rows) -> str:
    """Return ours beside the poster's, a row for each size."""
    ours = permuted_mnist_plots.by_curve(points)
    curves = {
        curve: ours.get(curve, [])
        for curve in permuted_mnist_plots.LOOKS
        if curve in ours or curve in permuted_mnist_plots.PUBLISHED
    }
    labels = [permuted_mnist_plots.LOOKS[curve]["label"] for curve in curves]
    sizes = sorted({row["trial"]["units"] for row in points})
    rows = [
        [str(units), *(_against_poster(*one, units) for one in curves.items())]
        for units in sizes
    ]
    return tables.table(["units", *labels], rows)


def _against_poster(curve: str, rows: Rows, units: int) -> str:
    ours = [row["test_accuracy"] for row in rows if row["trial"]["units"] == units]
    shown = f"{ours[0]:.3f}" if ours else ""
    for point in permuted_mnist_plots.poster(curve):
        if int(point["hidden_units"]) == units:
            theirs = _published(point, ours[0] if ours else 1.0)
            shown = f"{shown or 'not yet'} ({theirs})"
    return shown


def training(points: Rows) -> str:
    """Return how each point came about."""
    rows = [
        [
            permuted_mnist_plots.LOOKS[curve]["label"],
            str(row["trial"]["units"]),
            f"{row['parameters']:,}",
            permuted_mnist_plots.epochs_of(row),
            str(row["settings"]["patience"] or "none"),
            str(row["best_epoch"]),
            f"{row['validation_accuracy']:.3f}",
            f"{row['seconds'] / 60:.0f}",
            _environment(row),
            _commit(row),
        ]
        for curve, of_curve in permuted_mnist_plots.by_curve(points).items()
        for row in of_curve
    ]
    head = ["curve", "units", "parameters", "epochs", "patience", "best"]
    return tables.table([*head, "validation", "minutes", "on", "commit"], rows)


def epoch_times(epochs: Rows) -> str:
    """Return how long an epoch takes."""
    rows = [
        [f"{row['seconds']:.0f}", _environment(row), _commit(row)] for row in epochs
    ]
    return tables.table(["seconds", "on", "commit"], rows)


def last_losses(means: Rows) -> str:
    """Return each system's loss at the end, of each of its seeds, task by task."""
    tasks = dict.fromkeys((row["task"], row["delay"]) for row in means)
    found = {(row["system"], row["task"], row["delay"]): row for row in means}
    rows = []
    for system in SYSTEMS:
        of_tasks = [found.get((system, *task)) for task in tasks]
        if any(of_tasks):
            source = SYSTEMS[system].source
            rows.append([system, source, *(_seeds(row) for row in of_tasks)])
    heads = [f"{name}, {delay} steps" for name, delay in tasks]
    return tables.table(["system", "from", *heads], rows)


def _seeds(row: Row | None) -> str:
    if row is None:
        return "not yet"
    losses = sorted("diverged" if x is None else f"{x:.4f}" for x in row["last"])
    below = [x is not None and x < row["baseline"] / 2 for x in row["last"]]
    shown = ", ".join(losses)
    return f"**{shown}**" if all(below) else shown


def comparing_time(rows: Rows) -> str:
    """Return how many trials there are, and what trained them."""
    groups: dict[tuple[str, str], Rows] = {}
    for row in rows:
        groups.setdefault((_environment(row), _commit(row)), []).append(row)
    found = [
        [str(len(group)), f"{sum(row['seconds'] for row in group) / 60:.0f}", *key]
        for key, group in groups.items()
    ]
    return tables.table(["trials", "minutes", "on", "commit"], found)


if __name__ == "__main__":
    main()
