"""The main job end to end, at four units and a few images."""

import json
from pathlib import Path
from typing import Any

import checkpoints
import classifiers
import demo
import keras
import numpy as np
import pixels
import pytest
import runs


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Train on 50 images of each split."""
    task = pixels.load("digits")
    few = pixels.Task(*(pixels.Split(x[:50], y[:50]) for x, y in task))
    monkeypatch.setattr(pixels, "load", lambda *_: few)


def run(output: Path, *flags: str) -> dict[str, Any]:
    common = ["--units", "4", "--batch-size", "10", "--output", str(output)]
    demo.main([*common, *flags])
    result: dict[str, Any] = json.loads((output / runs.RESULT).read_text())
    return result


def history(result: dict[str, Any], kind: str) -> list[list[float]]:
    """The logged numbers of each epoch, wall time left out."""
    return [
        [row[name] for name in sorted(row) if name != "seconds"]
        for row in result["training"][kind]["history"]
    ]


@pytest.mark.each_backend
@pytest.mark.usefixtures("quick")
def test_whole_story(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = run(tmp_path, "--epochs", "1")
    printed = capsys.readouterr().out

    models = result["models"]
    assert list(models) == ["contractive", "converted", "unitary"]
    assert models["converted"]["states"] == 8
    assert (
        models["converted"]["test_accuracy"] == models["contractive"]["test_accuracy"]
    )
    np.testing.assert_allclose(
        models["converted"]["singular_values"], 1, rtol=0, atol=1e-6
    )
    np.testing.assert_allclose(
        models["unitary"]["singular_values"], 1, rtol=0, atol=1e-6
    )
    assert max(models["contractive"]["singular_values"]) <= 0.999 + 1e-6
    assert result["equivalence"]["largest_test_difference"] < 1e-5
    assert result["equivalence"]["same_class_on_test_images"] == 50

    assert result["settings"]["units"] == 4
    assert result["environment"]["backend"] == keras.config.backend()
    assert len(result["training"]["unitary"]["history"]) == 1
    assert "unitarity_error" in result["training"]["unitary"]["history"][0]
    assert (tmp_path / demo.PICTURE).read_bytes().startswith(b"\x89PNG")
    assert f"{models['unitary']['test_accuracy']:.4f}" in printed
    assert "same class for 50 of 50" in printed
    assert str(tmp_path) not in (tmp_path / runs.RESULT).read_text()


def add_row(log: Path) -> None:
    """Leave what a kill between an epoch's log and its backup leaves."""
    number, _, rest = log.read_text().splitlines()[-1].partition(",")
    with log.open("a") as file:
        file.write(f"{int(number) + 1},{rest}\n")


@pytest.mark.each_backend
@pytest.mark.usefixtures("quick")
def test_resumed_run_ends_like_an_uninterrupted_one(tmp_path: Path) -> None:
    flags = ("--models", "unitary")
    whole = run(tmp_path / "whole", *flags, "--epochs", "3")
    run(tmp_path / "parts", *flags, "--epochs", "2")
    add_row(tmp_path / "parts" / "unitary" / checkpoints.LOG)
    parts = run(tmp_path / "parts", *flags, "--epochs", "3", "--resume")

    np.testing.assert_allclose(
        history(parts, "unitary"), history(whole, "unitary"), rtol=1e-4, atol=1e-6
    )
    np.testing.assert_allclose(
        parts["models"]["unitary"]["eigenvalues"],
        whole["models"]["unitary"]["eigenvalues"],
        rtol=0,
        atol=1e-5,
    )
    assert parts["equivalence"] is None


def test_epochs_are_shuffled_differently_and_reproducibly() -> None:
    split = pixels.Split(np.arange(10), np.arange(10))
    batches = classifiers.ShuffledBatches(split, batch_size=4, seed=0)
    assert len(batches) == 2

    def epoch(number: int) -> list[int]:
        batches.start_epoch(number)
        return [int(y) for i in range(len(batches)) for y in batches[i][1]]

    first, second = epoch(0), epoch(1)
    assert len(set(first)) == 8
    assert first != second
    assert epoch(0) == first


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--dataset", "cifar"], "invalid choice: 'cifar'"),
        (["--models", "lstm"], "invalid choice: 'lstm'"),
        (["--units", "0"], "must be above 0. Received: 0"),
        (["--units", "2.5"], "invalid int value: '2.5'"),
        (["--epochs", "-1"], "must be above 0"),
        (["--batch-size", "many"], "invalid int value"),
        (["--learning-rate", "nan"], "must be above 0. Received: nan"),
        (["--learning-rate", "inf"], "must be finite"),
        (["--seed", "-1"], "must be between 0"),
        (["--data-dir", "data"], "--data-dir is for --dataset mnist"),
        (["--verbose"], "unrecognized arguments"),
    ],
)
def test_bad_flag_is_refused(
    flags: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        demo.main(flags)
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--batch-size", "5000"], "at most the number of training images, 1140"),
        (["--dataset", "mnist", "--data-dir", "missing"], "data directory must exist"),
    ],
)
def test_impossible_run_stops_before_training(
    flags: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match=message):
        demo.main(["--output", "out", *flags])
    assert not (tmp_path / "out").exists()


def test_run_with_other_settings_is_refused_and_kept(tmp_path: Path) -> None:
    settings = {"units": 3}
    runs.open_directory(tmp_path, settings, resume=False, epochs=1)
    with pytest.raises(
        SystemExit, match=r"other settings: .*units \(3 there, 64 now\)"
    ):
        demo.main(["--output", str(tmp_path), "--resume"])
    assert json.loads((tmp_path / runs.SETTINGS).read_text()) == settings


def test_defaults_follow_the_data_set() -> None:
    assert demo.parse_arguments([]).units == 64
    mnist = demo.parse_arguments(["--dataset", "mnist", "--batch-size", "32"])
    assert (mnist.units, mnist.batch_size, mnist.learning_rate) == (96, 32, 1e-3)
