"""The page of the experiments shows what the results hold."""

import experiments
import permuted_mnist_plots


def test_the_page_has_the_tables_of_the_results() -> None:
    page = experiments.PAGE.read_text(encoding="utf-8")
    assert experiments.fill(page, experiments.figure_4()) == page
    names = [found[2] for found in experiments.BLOCK.finditer(page)]
    assert names == ["figure_4", "figure_4_runs"]


def test_ours_stand_beside_the_posters() -> None:
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
