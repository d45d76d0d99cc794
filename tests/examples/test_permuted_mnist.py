"""Figure 4 at a size that takes seconds."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import checkpoints
import classifiers
import keras
import numpy as np
import permuted_mnist
import permuted_mnist_plots
import pixels
import pytest
import runs
import trials
from filelock import Timeout
from files import RunError

SMALL = ["--units", "4", "--batch-size", "50", "--epochs", "2"]


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Train on 50 images of each split."""
    whole = pixels.load("digits")
    task = pixels.Task(*(pixels.Split(x[:50], y[:50]) for x, y in whole))
    monkeypatch.setattr(pixels, "load", lambda *_: task)


def run(output: Path, *flags: str) -> list[dict[str, Any]]:
    permuted_mnist.main([*SMALL, "--output", str(output), *flags])
    points: list[dict[str, Any]] = json.loads((output / runs.RESULT).read_text())[
        "points"
    ]
    return points


def numbers(points: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What depends neither on the clock nor on when it was stopped."""
    return [
        {key: row[key] for key in row if not key.startswith(("seconds", "pieces"))}
        for row in points
    ]


def last_norm(output: Path, point: dict[str, Any]) -> float | None:
    """The norm of the recurrent kernel after the last epoch, where the log has it."""
    log = checkpoints.history(output / permuted_mnist.name_of(point["trial"]))
    return log[-1].get("spectral_norm")


@pytest.mark.usefixtures("few")
def test_each_curve(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    points = run(tmp_path)
    assert [row["trial"]["curve"] for row in points] == list(permuted_mnist.POSTER)
    for row in points:
        assert row["epochs"] == len(row["validation_accuracies"]) == 2
        assert row["parameters"] == (1 + 4 + 1) * 4 + (4 + 1) * 10
        counts = np.array(row["confusion"])
        assert counts.sum() == 50
        assert np.trace(counts) == round(50 * row["test_accuracy"])
        assert row["settings"]["patience"] == 3
        assert row["environment"]["backend"] == keras.config.backend()
    held = [last_norm(tmp_path, row) for row in points]
    assert held[0] == pytest.approx(1.0, abs=1e-5)
    assert held[1] == pytest.approx(classifiers.MAX_NORM, abs=1e-5)
    assert held[2:] == [None, None]
    assert [row["learning_rate"] for row in points] == [1e-3, 1e-3, 1e-3, 1e-4]
    for name in ("permuted_mnist", "permuted_mnist_epochs", "permuted_mnist_confusion"):
        assert (tmp_path / f"{name}.png").stat().st_size > 10_000
    assert "more --epochs go on with it" in capsys.readouterr().out
    assert run(tmp_path, "--plot-only") == points


@pytest.mark.usefixtures("few")
def test_what_is_done_is_not_done_again_and_more_epochs_go_on(tmp_path: Path) -> None:
    flags = ("--curves", "urnn", "--patience", "9")
    short = run(tmp_path / "parts", *flags)
    assert run(tmp_path / "parts", *flags) == short
    (longer,) = run(tmp_path / "parts", *flags, "--epochs", "4")
    (whole,) = run(tmp_path / "whole", *flags, "--epochs", "4")
    np.testing.assert_allclose(
        longer["validation_accuracies"], whole["validation_accuracies"], atol=1e-6
    )
    assert longer["test_accuracy"] == whole["test_accuracy"]


@pytest.mark.usefixtures("few")
def test_patience_ends_it(tmp_path: Path) -> None:
    flags = ("--curves", "rnn-1e-4", "--patience", "2", "--epochs", "40")
    (row,) = run(tmp_path, *flags)
    assert row["stopped_early"]
    assert row["epochs"] == row["best_epoch"] + 2 < 40
    accuracies = row["validation_accuracies"]
    assert row["best_epoch"] == 1 + accuracies.index(max(accuracies))
    # What has come to its end stays there.
    assert run(tmp_path, *flags[:-1], "50") == [row]
    # As after a kill between the last epoch and the row of the point.
    (tmp_path / permuted_mnist.JOURNAL).unlink()
    (again,) = run(tmp_path, *flags)
    assert numbers([again]) == numbers([row])
    assert again["pieces"] == row["pieces"]  # no epoch was trained
    # Unless one has more patience.
    (later,) = run(tmp_path, *flags, "--patience", "3")
    assert later["epochs"] > row["epochs"]
    assert later["validation_accuracies"][: row["epochs"]] == accuracies
    assert later["settings"]["patience"] == 3


@pytest.mark.parametrize("curve", permuted_mnist.CURVES)
def test_more_of_what_ended_it_goes_on(curve: str) -> None:
    row = {"trial": {"curve": curve, "units": 4}, "epochs": 5, "best_epoch": 3}
    decays = permuted_mnist.CURVES[curve].decays
    assert not permuted_mnist.goes_on(row, epochs=5, patience=9)
    assert permuted_mnist.goes_on(row, epochs=9, patience=2) == decays
    assert permuted_mnist.goes_on(row, epochs=9, patience=3)


@pytest.mark.usefixtures("few")
def test_ctrl_c_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(classifiers, "train", interrupt)
    with pytest.raises(SystemExit, match="stopped; the same command goes on"):
        run(tmp_path)


@pytest.mark.usefixtures("few")
def test_pictures_are_drawn_by_one_process_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def draw(*_: Any) -> None:
        other = trials.Journal(tmp_path / permuted_mnist.JOURNAL)
        with pytest.raises(Timeout):
            other.lock.acquire(timeout=0)
        drawn.append(True)

    drawn: list[bool] = []
    monkeypatch.setattr(permuted_mnist_plots, "draw", draw)
    run(tmp_path, "--curves", "urnn")
    assert drawn


def test_the_posters_settings() -> None:
    arguments = permuted_mnist.parse_arguments(["--preset", "poster"])
    assert arguments.units == [16, 32, 48, 64, 80, 96]
    assert (arguments.batch_size, arguments.epochs, arguments.patience) == (64, 30, 20)
    rates = {
        name: permuted_mnist.CURVES[name].learning_rate for name in arguments.curves
    }
    assert rates == {"urnn": 1e-3, "contrnn": 1e-3, "rnn-1e-3": 1e-3, "rnn-1e-4": 1e-4}


def test_what_is_tested_has_no_part_in_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = pixels.load("digits")
    parts = {
        name: pixels.Split(x[:50], y[:50]) for name, (x, y) in whole._asdict().items()
    }
    turned = pixels.Split(parts["test"].x, (parts["test"].y + 1) % pixels.CLASSES)
    found = []
    for test in (parts["test"], turned):
        task = pixels.Task(**{**parts, "test": test})
        monkeypatch.setattr(pixels, "load", lambda *_, task=task: task)
        found += run(tmp_path / str(len(found)), "--curves", "urnn")
    assert found[0]["validation_accuracies"] == found[1]["validation_accuracies"]
    right = [np.trace(row["confusion"]) for row in found]
    moved = np.trace(np.roll(found[0]["confusion"], 1, axis=0))
    assert right[1] == moved != right[0]


@pytest.mark.usefixtures("few")
def test_an_epoch_in_the_log_alone_is_trained_again(tmp_path: Path) -> None:
    flags = ("--curves", "rnn-1e-4", "--patience", "2", "--epochs")
    (whole,) = run(tmp_path / "whole", *flags, "40")
    run(tmp_path / "killed", *flags, str(whole["epochs"] - 1))
    (tmp_path / "killed" / permuted_mnist.JOURNAL).unlink()
    name = Path("rnn-1e-4-4", checkpoints.LOG)
    logs = [tmp_path / kind / name for kind in ("whole", "killed")]
    shutil.copyfile(*logs)  # with the row that ends it, which no backup has
    (found,) = run(tmp_path / "killed", *flags, "40")
    assert numbers([found]) == numbers([whole])


@pytest.mark.usefixtures("few")
def test_processes_share_the_points(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "urnn-4").mkdir()
    with runs.alone(tmp_path / "urnn-4"):
        (row,) = run(tmp_path, "--curves", "urnn", "contrnn")
        assert "urnn-4: left to the process that is at it" in capsys.readouterr().out
        assert row["trial"]["curve"] == "contrnn"
        (tmp_path / permuted_mnist.JOURNAL).unlink()
        with pytest.raises(SystemExit, match="holds no finished point yet"):
            run(tmp_path, "--curves", "urnn")


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("urnn-ours", "unitary from a cycle"),
        ("contrnn-ours", "contractive from a cycle"),
    ],
)
@pytest.mark.usefixtures("few")
def test_the_rate_of_our_recipe_falls_to_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, layer: str
) -> None:
    flags = ("--curves", name)
    (row,) = run(tmp_path, *flags)
    assert row["decays"]
    assert row["layer"] == layer
    assert row["settings"]["patience"] is None
    assert "more --epochs" not in capsys.readouterr().out
    curve = permuted_mnist.CURVES[name]
    arguments = permuted_mnist.parse_arguments([*SMALL, *flags])
    rmsprop = permuted_mnist.optimizer(curve, pixels.load("digits"), arguments)
    rmsprop.build([keras.Variable([0.0])])
    assert float(rmsprop.learning_rate) == pytest.approx(curve.learning_rate)
    rmsprop.iterations.assign(2)  # epochs, of the one batch that 50 images fill
    assert float(rmsprop.learning_rate) == pytest.approx(0.0, abs=1e-9)
    assert run(tmp_path, *flags) == [row]
    # So more epochs are another recipe.
    with pytest.raises(SystemExit, match=r"settings: epochs \(2 there, 4 now\)"):
        run(tmp_path, *flags, "--epochs", "4")


@pytest.mark.usefixtures("few")
def test_no_patience_ends_our_recipe(tmp_path: Path) -> None:
    flags = ("--patience", "1", "--epochs", "6")
    ours, poster = run(tmp_path, "--curves", "urnn-ours", "rnn-1e-4", *flags)
    assert poster["stopped_early"]
    assert not ours["stopped_early"]
    assert ours["epochs"] == 6
    accuracies = ours["validation_accuracies"]  # some epoch was no better
    assert not all(np.diff(accuracies) > 0.0)


@pytest.mark.usefixtures("few")
def test_fewer_epochs_than_are_trained_are_refused(tmp_path: Path) -> None:
    run(tmp_path, "--curves", "urnn")
    (row,) = run(tmp_path, "--curves", "urnn", "--epochs", "1")
    assert row["epochs"] == 2  # is there, and stays
    (tmp_path / permuted_mnist.JOURNAL).unlink()
    with pytest.raises(SystemExit, match=r"at least 2, .* in .*urnn-4. Received: 1"):
        run(tmp_path, "--curves", "urnn", "--epochs", "1")


@pytest.mark.usefixtures("few")
def test_points_of_other_settings_are_refused(tmp_path: Path) -> None:
    run(tmp_path, "--curves", "urnn")
    (tmp_path / runs.SETTINGS).unlink()  # the journal knows them, too
    with pytest.raises(SystemExit, match=r"settings: batch_size \(50 there, 25 now\)"):
        run(tmp_path, "--batch-size", "25")
    assert not (tmp_path / runs.SETTINGS).exists()


@pytest.mark.parametrize(
    ("count", "shape", "hidden"), [(1, (1, 1), 0), (3, (1, 3), 0), (5, (2, 3), 1)]
)
def test_panels_stand_in_two_rows_at_most(
    count: int, shape: tuple[int, int], hidden: int
) -> None:
    _, panels = permuted_mnist_plots._panels(count, (3.0, 3.0))
    assert panels.shape == shape
    assert [axes.axison for axes in panels.flat] == [True] * count + [False] * hidden


def test_a_killed_run_ends_as_one_that_was_not(tmp_path: Path) -> None:
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    flags = ["--curves", "urnn", "--epochs", "6", "--patience", "9"]
    flags += ["--batch-size", "300"]
    command = [sys.executable, permuted_mnist.__file__, *SMALL, *flags]
    process = subprocess.Popen(
        [*command, "--output", str(killed)], stdout=subprocess.DEVNULL
    )
    while len(checkpoints.history(killed / "urnn-4")) < 2:
        assert process.poll() is None, "ended before it was killed"
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert len(checkpoints.history(killed / "urnn-4")) < 6
    (found,), (expected,) = run(killed, *flags), run(whole, *flags)
    assert numbers([found]) == numbers([expected])
    first, second = found["pieces"]  # what the kill parted
    assert first["epochs_before"] == 0
    assert 1 <= second["epochs_before"] < 6  # the log is ahead of the backup
    assert first["environment"]["commit"] == found["environment"]["commit"]
    assert len(expected["pieces"]) == 1


@pytest.mark.usefixtures("few")
def test_what_is_spoilt_ends_it_in_a_sentence(tmp_path: Path) -> None:
    def contents() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in tmp_path.rglob("*.*")}

    flags = ("--curves", "urnn")
    run(tmp_path, *flags, "--epochs", "1")
    before = contents()
    folder = Path("urnn-4")
    kept = (checkpoints.BACKUP, checkpoints.LOG, checkpoints.PIECES)
    for name in (*(folder / one for one in kept), Path(permuted_mnist.JOURNAL)):
        (tmp_path / name).write_text('{"trial": {"curve": "urnn", "units": 4}}\n')
        sentence = rf"^permuted_mnist.py: .*{name} is spoilt .* Remove [^\n]*$"
        with pytest.raises(SystemExit, match=sentence):
            run(tmp_path, *flags)
        (tmp_path / name).write_bytes(before[tmp_path / name])
        assert contents() == before


@pytest.mark.usefixtures("few")
def test_a_full_disk_ends_it_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(path: Path, content: bytes) -> None:
        if path.name.endswith(checkpoints.BACKUP):
            raise OSError(errno.ENOSPC, "No space left on device")
        path.write_text(content.decode())

    with monkeypatch.context() as full:
        full.setattr(Path, "write_bytes", write)
        sentence = rf"{checkpoints.BACKUP} can't be .*: No space left .* Free space"
        with pytest.raises(SystemExit, match=sentence):
            run(tmp_path, "--curves", "urnn")
    (row,) = run(tmp_path, "--curves", "urnn")
    assert row["epochs"] == 2


@pytest.mark.usefixtures("few")
def test_other_settings_are_refused(tmp_path: Path) -> None:
    run(tmp_path, "--curves", "urnn")
    with pytest.raises(SystemExit, match=r"policy \(float32 there, mixed_bfloat16 now"):
        run(tmp_path, "--mixed-precision")
    with pytest.raises(SystemExit, match=r"jit_compile \(auto there, False now"):
        run(tmp_path, "--no-jit-compile")


@pytest.mark.each_backend
@pytest.mark.parametrize("flag", ["--jit-compile", "--no-jit-compile"])
@pytest.mark.usefixtures("few")
def test_compiled_as_asked(
    tmp_path: Path, flag: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fit(model: Any, *_: Any, **__: Any) -> None:
        found.append(model.jit_compile)
        raise RunError("seen")

    found: list[bool] = []
    monkeypatch.setattr(keras.Sequential, "fit", fit)
    with pytest.raises(SystemExit, match="seen"):
        run(tmp_path, "--curves", "urnn", flag)
    assert found == [flag == "--jit-compile"]


def test_the_recurrent_layer_alone_in_mixed_precision() -> None:
    model = classifiers.build("unitary", 64, 4, "mixed_bfloat16")
    assert model.get_layer("recurrent").compute_dtype == "bfloat16"
    assert model.layers[-1].compute_dtype == "float32"


def test_another_backend_is_the_same_command(monkeypatch: pytest.MonkeyPatch) -> None:
    def execv(*command: Any) -> None:
        raise RuntimeError(command, os.environ["KERAS_BACKEND"])

    other = "jax" if keras.config.backend() == "torch" else "torch"
    monkeypatch.setenv("KERAS_BACKEND", keras.config.backend())
    monkeypatch.setattr(os, "execv", execv)
    with pytest.raises(RuntimeError) as began:
        permuted_mnist.main(["--backend", other])
    assert began.value.args == ((sys.executable, sys.orig_argv), other)


@pytest.mark.long  # two interpreters import everything, one after the other
def test_another_backend_is_another_process(tmp_path: Path) -> None:
    other = "jax" if keras.config.backend() == "torch" else "torch"
    script = permuted_mnist.__file__
    flags = ["--backend", other, "--output", str(tmp_path / "none"), "--plot-only"]
    done = subprocess.run(
        [sys.executable, script, *flags], capture_output=True, text=True, check=False
    )
    assert f"{other} on cpu" in done.stdout
    assert "holds no run" in done.stderr
    assert done.returncode == 1


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--curves", "lstm"], "--curves: invalid choice: 'lstm'"),
        (["--units", "0"], "--units: must be above 0. Received: 0"),
        (["--patience", "0"], "--patience: must be above 0. Received: 0"),
        (["--backend", "numpy"], "--backend: invalid choice: 'numpy'"),
        (["--data-dir", "data"], "--data-dir is for --dataset mnist"),
    ],
)
def test_wrong_flags(
    flags: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        permuted_mnist.parse_arguments(flags)
    assert message in capsys.readouterr().err


def test_impossible_runs_leave_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    flags = ["--dataset", "mnist", "--data-dir", "missing", "--output", "out"]
    with pytest.raises(SystemExit, match="data directory must exist"):
        permuted_mnist.main(flags)
    with pytest.raises(SystemExit, match="at most the number of training images"):
        permuted_mnist.main(["--batch-size", "5000", "--output", "out"])
    assert not (tmp_path / "out").exists()


def test_the_picture_holds_ours_and_the_posters() -> None:
    points = [
        {
            "trial": {"curve": curve, "units": units},
            "test_accuracy": 0.8,
            "settings": {"dataset": "mnist"},
        }
        for curve in permuted_mnist.CURVES  # the last two are ours alone
        for units in (32, 16)
    ]
    picture = permuted_mnist_plots.figure(points)
    (axes,) = picture.axes
    (legend,) = picture.legends  # beside the axes: it would hide points
    labels = [text.get_text() for text in legend.get_texts()]
    *names, one, other = (look["label"] for look in permuted_mnist_plots.LOOKS.values())
    expected = [f"{name}, {of}" for name in names for of in ("ours", "poster")]
    assert sorted(labels) == sorted([*expected, one, other])
    shown = [np.asarray(line.get_xdata()).tolist() for line in axes.get_lines()]
    assert shown.count([16, 32]) == 6
    assert permuted_mnist_plots.poster("urnn")[-1]["value"] == "0.870"
