"""The page of the experiments: its tables and pictures, from the committed results.

    python examples/experiments.py    # fills docs/experiments.md, draws docs/images/

A table stands between two comments that name it; the text around holds whatever the
numbers are. `tests/examples/test_experiments.py` compares the page with the results.
"""

import re
from pathlib import Path
from typing import Any

import permuted_mnist
import permuted_mnist_plots
import tables
import trials

RESULTS = Path(__file__).parent / "results"
DOCS = Path(__file__).resolve().parent.parent / "docs"
PAGE = DOCS / "experiments.md"
BLOCK = re.compile(r"(<!-- table: (\w+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)


def main() -> None:
    points = figure_4()
    PAGE.write_text(fill(PAGE.read_text(encoding="utf-8"), points), encoding="utf-8")
    permuted_mnist_plots.draw(points, DOCS / "images")


def figure_4() -> list[dict[str, Any]]:
    """Return the committed points of figure 4."""
    journal = trials.Journal(RESULTS / "permuted" / permuted_mnist.JOURNAL)
    return list(permuted_mnist.latest(journal).values())


def fill(page: str, points: list[dict[str, Any]]) -> str:
    """Return the page with the tables of these results."""
    made = {"figure_4": accuracies(points), "figure_4_runs": training(points)}
    return BLOCK.sub(lambda found: f"{found[1]}\n{made[found[2]]}\n\n{found[4]}", page)


def accuracies(points: list[dict[str, Any]]) -> str:
    """Return ours beside the poster's, a row for each size."""
    curves = permuted_mnist_plots.by_curve(points)
    labels = [permuted_mnist_plots.LOOKS[curve]["label"] for curve in curves]
    sizes = sorted({row["trial"]["units"] for row in points})
    rows = [
        [str(units), *(_against_poster(*one, units) for one in curves.items())]
        for units in sizes
    ]
    return tables.table(["units", *labels], rows)


def _against_poster(curve: str, rows: list[dict[str, Any]], units: int) -> str:
    ours = [
        f"{row['test_accuracy']:.3f}" for row in rows if row["trial"]["units"] == units
    ]
    theirs = [
        f"({float(row['value']):.3f})"
        for row in permuted_mnist_plots.poster(curve)
        if int(row["hidden_units"]) == units
    ]
    return " ".join([*(ours or ["not yet"] * len(theirs)), *theirs])


def training(points: list[dict[str, Any]]) -> str:
    """Return how each point came about."""
    rows = [
        [
            permuted_mnist_plots.LOOKS[curve]["label"],
            str(row["trial"]["units"]),
            f"{row['parameters']:,}",
            f"{row['epochs']}{'' if row['stopped_early'] else '+'}",
            str(row["best_epoch"]),
            f"{row['validation_accuracy']:.3f}",
            f"{row['seconds'] / 60:.0f}",
            f"{row['environment']['backend']}, {row['environment']['device']}",
            row["environment"]["commit"][:7],
        ]
        for curve, of_curve in permuted_mnist_plots.by_curve(points).items()
        for row in of_curve
    ]
    head = ["curve", "units", "parameters", "epochs", "best", "validation"]
    return tables.table([*head, "minutes", "on", "commit"], rows)


if __name__ == "__main__":
    main()
