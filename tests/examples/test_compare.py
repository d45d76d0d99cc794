"""The comparison of systems, at a size that takes seconds."""

import json
from pathlib import Path
from typing import Any

import compare
import comparing
import keras
import numpy as np
import pytest
import systems
import tasks

from tests.helpers import to_numpy

SMALL = ["--delay", "5", "--width", "4", "--steps", "4", "--every", "2"]
SMALL += ["--batch-size", "3"]


def run(output: Path, *flags: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    compare.main([*SMALL, "--output", str(output), *flags])
    result = json.loads((output / "result.json").read_text())
    return result, compare.journal_of(output).rows()


def test_systems_and_seeds_add_up_in_one_directory(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, rows = run(tmp_path, "--task", "adding", "--systems", "RNN", "URNN")
    assert "0 of 2 trials done" in capsys.readouterr().out
    for row in rows:
        assert len(row["losses"]) == 2
        assert row["parameters"] == (2 + 4 + 1) * 4 + 4 + 1
    result, more = run(
        tmp_path, "--task", "adding", "--systems", "URNN", "--seeds", "2"
    )
    assert "1 of 2 trials done" in capsys.readouterr().out
    assert more[:2] == rows
    found = {row["system"]: row for row in result["means"]}
    assert (found["RNN"]["seeds"], found["URNN"]["seeds"]) == (1, 2)
    first, second = found["URNN"]["losses"]
    assert first != second
    assert found["URNN"]["last"][0] == pytest.approx(np.median(first))
    picture = tmp_path / "compare_adding_5.png"
    assert picture.stat().st_size > 10_000

    picture.unlink()
    monkeypatch.setattr(comparing, "learn", None)
    again, _ = run(tmp_path, "--plot-only")
    assert again == result
    assert picture.stat().st_size > 10_000


def test_another_budget_is_refused(tmp_path: Path) -> None:
    run(tmp_path, "--systems", "URNN")
    with pytest.raises(SystemExit, match=r"learning_rate \(0.001 there, 0.1 now\)"):
        run(tmp_path, "--systems", "URNN", "--learning-rate", "0.1")
    with pytest.raises(SystemExit):
        compare.parse_arguments(["--steps", "5", "--every", "2"])


@pytest.mark.parametrize("system", systems.SYSTEMS)
@pytest.mark.parametrize("name", ["copying", "multiplication"])
def test_each_system_is_built_for_each_kind_of_task(system: str, name: str) -> None:
    task = tasks.make(name, 5)
    model = comparing.build_model(task, system, 8)
    x, y = task.draw(np.random.default_rng(0), 2)
    assert tuple(model(x).shape) == ((*y.shape, 9) if name == "copying" else y.shape)
    assert np.isfinite(to_numpy(comparing.loss_of(task)(y, model(x))))


def test_all_systems_get_the_same_batches() -> None:
    task = tasks.make("adding", 5)
    first, again = (comparing.batches(task, 2, seed=1) for _ in range(2))
    for _ in range(2):
        np.testing.assert_array_equal(next(first)[0], next(again)[0])


def test_a_loss_that_is_not_finite_is_written_as_none() -> None:
    assert compare.last_loss({"losses": [0.5, None]}) is None
    assert compare.last_loss({"losses": [0.5, 0.7]}) == pytest.approx(0.6)


@pytest.mark.each_backend
def test_training_lowers_the_loss() -> None:
    settings = {
        "steps": 60,
        "every": 20,
        "batch_size": 20,
        "learning_rate": 0.01,
        "dataset": tasks.SCIKIT_LEARN,
    }
    trial = {"task": "adding", "delay": 4, "system": "URNN", "width": 8, "seed": 0}
    row = comparing.learn(trial, settings)
    first, *_, last = row["losses"]
    assert last < first < 1.0
    assert row["environment"]["backend"] == keras.config.backend()
