"""The page of the experiments shows what the results hold."""

from typing import Any

import experiments
import permuted_mnist_plots


def test_the_page_has_the_tables_of_the_results() -> None:
    page = experiments.PAGE.read_text(encoding="utf-8")
    learned, points = experiments.figures_2_and_3(), experiments.figure_4()
    assert experiments.fill(page, learned, points) == page
    names = [found[2] for found in experiments.BLOCK.finditer(page)]
    assert names == [
        "figures_2_and_3",
        "pairs",
        "figures_2_and_3_runs",
        "figure_4",
        "figure_4_runs",
    ]


def mean(model: str, recipe: str, units: int, snr: float, value: float) -> Any:
    of = {"model": model, "recipe": recipe, "units": units, "snr": snr}
    return {**of, "r2_about_zero": {"mean": value, "half_width": 0.01}}


def test_scores_stand_beside_the_posters() -> None:
    means = [
        mean("urnn", "ours", 4, 20.0, 0.98),
        mean("urnn", "poster", 4, 20.0, 0.96),
        mean("urnn", "poster", 2, 20.0, 0.85),
        mean("rnn", "poster", 4, 15.0, 0.94),
    ]
    assert experiments.scores(means).splitlines() == [
        "| dB | units | RNN | URNN | URNN, our recipe |",
        "| --- | --- | --- | --- | --- |",
        "| 20 | 2 |  | 0.8500 ± 0.0100 (0.853) |  |",
        "| 20 | 4 |  | 0.9600 ± 0.0100 (0.954) | 0.9800 ± 0.0100 |",
        "| 15 | 4 | 0.9400 ± 0.0100 (0.943) |  |  |",
    ]


def test_trials_are_counted_by_model_and_recipe() -> None:
    def trial(model: str, diverged: bool, seconds: float) -> Any:
        environment = {"backend": "jax", "device": "cpu:0", "commit": "0123456789"}
        return {
            "trial": {"model": model, "recipe": "poster"},
            "diverged": diverged,
            "seconds": seconds,
            "environment": environment,
        }

    rows = [
        trial("rnn", True, 10.0),
        trial("rnn", False, 14.0),
        trial("urnn", False, 9),
    ]
    assert experiments.learning(rows).splitlines()[2:] == [
        "| RNN | poster | 2 | 1 | 12 | jax, cpu:0 | 0123456 |",
        "| URNN | poster | 1 | 0 | 9 | jax, cpu:0 | 0123456 |",
    ]


def test_accuracies_stand_beside_the_posters() -> None:
    point = {"trial": {"curve": "urnn", "units": 96}, "test_accuracy": 0.9}
    other = {"trial": {"curve": "urnn", "units": 16}, "test_accuracy": 0.6}
    free = {"trial": {"curve": "rnn-1e-4", "units": 16}, "test_accuracy": 0.5}
    ours = {"trial": {"curve": "urnn-ours", "units": 96}, "test_accuracy": 0.95}
    assert experiments.accuracies([point, other, free, ours]).splitlines()[2:] == [
        "| 16 | 0.600 (0.635) | 0.500 (0.503) |  |",
        "| 96 | 0.900 (0.870) | not yet (0.832) | 0.950 |",
    ]


def test_every_row_says_what_made_it() -> None:
    points = experiments.figure_4()
    assert len(experiments.training(points).splitlines()) == 2 + len(points)
    for row in points:
        assert {"seed", "batch_size", "patience", "backend"} <= row["settings"].keys()
        assert {"device", "versions", "commit"} <= row["environment"].keys()
        assert row["trial"]["curve"] in permuted_mnist_plots.LOOKS
