"""The page of the experiments shows what the results hold."""

from pathlib import Path
from typing import Any

import experiments
import permuted_mnist_plots
import pytest
import synthetic


def test_the_page_has_the_tables_of_the_results() -> None:
    page = experiments.PAGE.read_text(encoding="utf-8")
    learned, points = experiments.figures_2_and_3(), experiments.figure_4()
    assert experiments.fill(page, learned, points) == page
    names = [found[2] for found in experiments.BLOCK.finditer(page)]
    assert names == [
        "figures_2_and_3",
        "medians",
        "pairs",
        "systems",
        "figures_2_and_3_runs",
        "figures_2_and_3_time",
        "figure_4",
        "figure_4_runs",
        "figure_4_epoch",
        "compared",
        "compared_runs",
    ]


def test_a_trial_that_two_pieces_hold_counts_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = experiments.one_realization()[0]
    (tmp_path / "synthetic").mkdir()
    journal = synthetic.journal_of(tmp_path / "synthetic")
    for score in (0.1, 0.2):
        journal.add({**row, "r2_about_zero": score})
    monkeypatch.setattr(experiments, "RESULTS", tmp_path)
    found = [row["r2_about_zero"] for row in experiments.figures_2_and_3()]
    assert found == [0.2]


def mean(model: str, recipe: str, units: int, snr: float, value: float) -> Any:
    of = {"model": model, "recipe": recipe, "units": units, "snr": snr}
    interval = {"mean": value, "half_width": 0.01}
    found = {"r2_about_zero": interval, "median": value + 0.001}
    return {**of, **found, "realizations": 30 - (model == "rnn")}


def test_scores_stand_beside_the_posters() -> None:
    means = [
        mean("urnn", "ours", 4, 20.0, 0.98),
        mean("urnn", "poster", 4, 20.0, 0.96),
        mean("urnn", "poster", 2, 20.0, 0.85),
        mean("rnn", "poster", 4, 15.0, 0.94),
        mean("rnn", "poster", 2, 15.0, 0.91),
    ]
    assert experiments.scores(means).splitlines() == [
        "| dB | units | RNN, 29 realizations | URNN, 30 realizations "
        "| URNN, our recipe, 30 realizations |",
        "| --- | --- | --- | --- | --- |",
        "| 20 | 2 |  | 0.8500 ± 0.0100 (0.853) |  |",
        "| 20 | 4 |  | 0.9600 ± 0.0100 (0.954) | 0.9800 ± 0.0100 (0.954) |",
        "| 15 | 2 | 0.9100 ± 0.0100 (0.925, **below**) |  |  |",
        "| 15 | 4 | 0.9400 ± 0.0100 (0.943) |  |  |",
    ]
    assert experiments.medians(means).splitlines()[2:] == [
        "| 20 | 2 |  | 0.8510 |  |",
        "| 20 | 4 |  | 0.9610 | 0.9810 |",
        "| 15 | 2 | 0.9110 |  |  |",
        "| 15 | 4 | 0.9410 |  |  |",
    ]


def test_each_system_is_counted_once() -> None:
    def trial(realization: int, on: list[float], snr: float) -> Any:
        of = {"realization": realization, "snr": 20.0}
        return {"trial": of, "on": on, "measured_snr": snr}

    rows = [trial(0, [0.59, 0.61], 20.01), trial(1, [0.6, 0.6], 19.99)]
    assert experiments.systems([*rows, rows[0]]).splitlines()[2:] == [
        "| 20 | 2 | 0.590 to 0.610 | 19.990 to 20.010 |"
    ]


def test_trials_are_counted_by_model_and_recipe() -> None:
    def trial(
        model: str, diverged: bool, seconds: float, commit: str, units: int = 2
    ) -> Any:
        environment = {"backend": "jax", "device": "cpu:0", "commit": commit}
        return {
            "trial": {"model": model, "recipe": "poster", "units": units},
            "diverged": diverged,
            "best_epoch": 0 if diverged else 9,
            "seconds": seconds,
            "environment": environment,
        }

    rows = [
        trial("rnn", True, 10.0, "0123456789"),
        trial("rnn", False, 14.0, "0123456789-dirty"),
        trial("rnn", False, 3600.0, "0123456789"),  # was slowed, unlike the median
        trial("rnn", False, 3576.0, "0123456789", units=4),
        trial("urnn", False, 3600.0, "0123456789"),
    ]
    for trained in rows[-2:]:  # a machine may have a GPU that isn't used
        trained["environment"]["gpu"] = "H100"
    rows[-1]["environment"]["device"] = "cuda:0"
    commits = "0123456; 0123456 (dirty)"
    assert experiments.learning(rows).splitlines()[2:] == [
        f"| RNN | poster | 4 | 1 | 1 | 14 to 3576 | 2.0 | jax, cpu:0 | {commits} |",
        "| URNN | poster | 1 | 0 | 0 | 3600 to 3600 | 1.0 | jax, H100 | 0123456 |",
    ]


def test_a_point_names_all_that_trained_it() -> None:
    def environment(device: str, commit: str) -> Any:
        return {"backend": "torch", "device": device, "commit": commit}

    pieces = [environment("cuda:0", "0123456789"), environment("cpu", "abcdefghij")]
    point: Any = {
        "trial": {"curve": "urnn-ours", "units": 96},
        "parameters": 10378,
        "epochs": 40,
        "stopped_early": False,
        "decays": True,
        "settings": {"patience": None},
        "best_epoch": 40,
        "validation_accuracy": 0.9,
        "seconds": 600.0,
        "pieces": [{"epochs_before": 0, "environment": one} for one in pieces],
        "environment": pieces[1],
    }
    first = "| URNN, our recipe | 96 | 10,378 | 40 | none | 40 | 0.900 | 10 |"
    (line,) = experiments.training([point]).splitlines()[2:]
    assert line == f"{first} torch, cuda:0; torch, cpu | 0123456; abcdefg |"
    (line,) = experiments.training([{**point, "pieces": []}]).splitlines()[2:]
    assert line == f"{first} torch, cpu | abcdefg |"


def test_the_whole_preset_takes_thirty_times_one_realization() -> None:
    environment = {"backend": "jax", "device": "cpu:0", "commit": "0123456789"}
    rows = [{"seconds": s, "environment": environment} for s in (90.0, 150.0)]
    assert experiments.preset_time(rows).splitlines()[2:] == [
        "| 2 | 4.0 | 1.0 | jax, cpu:0 | 0123456 |"
    ]


def test_accuracies_stand_beside_the_posters() -> None:
    point = {"trial": {"curve": "urnn", "units": 96}, "test_accuracy": 0.868}
    other = {"trial": {"curve": "urnn", "units": 16}, "test_accuracy": 0.6329}
    free = {"trial": {"curve": "rnn-1e-4", "units": 16}, "test_accuracy": 0.5}
    ours = {"trial": {"curve": "urnn-ours", "units": 96}, "test_accuracy": 0.95}
    missing = (
        "| not yet (0.670) | not yet (0.676)",
        "| not yet (0.846) | not yet (0.666)",
    )
    assert experiments.accuracies([point, other, free, ours]).splitlines()[2:] == [
        f"| 16 | 0.633 (0.635, **below**) {missing[0]} | 0.500 (0.503, **below**) |  |",
        f"| 96 | 0.868 (0.870) {missing[1]} | not yet (0.832) | 0.950 |",
    ]


def test_every_row_says_what_made_it() -> None:
    points, epochs = experiments.figure_4(), experiments.one_epoch()
    assert len(experiments.training(points).splitlines()) == 2 + len(points)
    assert len(experiments.epoch_times(epochs).splitlines()) == 2 + 3  # the backends
    assert {row["epochs"] for row in epochs} == {1}
    for row in [*points, *epochs]:
        assert {"batch_size", "patience"} <= row["settings"].keys()
        assert row["trial"]["curve"] in permuted_mnist_plots.LOOKS
    timed = experiments.one_realization()
    assert len(timed) == 7 * 2 * 2  # sizes, models, ratios
    learned = [*experiments.figures_2_and_3(), *timed]
    assert all("system" in row["settings"] for row in learned)
    for row in [*points, *epochs, *learned]:
        assert {"seed", "backend"} <= row["settings"].keys()
        assert {"device", "versions", "commit"} <= row["environment"].keys()
