"""Figures 2 and 3 at a size that takes seconds."""

import json
import shutil
from pathlib import Path
from typing import Any

import experiments
import keras
import numpy as np
import pytest
import runs
import synthetic
import synthetic_learning
import synthetic_plots
import synthetic_system as task

SMALL = ["--length", "20", "--sequences", "30", "--epochs", "2", "--units", "2", "3"]


def run(output: Path, *flags: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    synthetic.main([*SMALL, "--output", str(output), *flags])
    lines = (output / synthetic.JOURNAL).read_text().splitlines()
    return json.loads((output / "result.json").read_text()), without_time(lines)


def without_time(lines: list[str]) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in lines]
    for row in rows:
        assert row.pop("seconds") >= 0.0  # rounded to a tenth
    return sorted(rows, key=lambda row: json.dumps(row["trial"]))


def test_each_model_of_each_size(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    models = ("rnn", "urnn", "lstm")
    result, rows = run(tmp_path, "--models", *models)
    assert len(rows) == 6
    for row in rows:
        assert row["epochs"] == 2
        assert row["best_epoch"] in (1, 2)
        assert row["r2_centered"] < row["r2_about_zero"] < 1.0
        assert {"r2_about_zero", "r2_centered"} == set(row["last_epoch"])
        assert len(row["on"]) == 4
    found = {(row["model"], row["units"]): row for row in result["means"]}
    # (inputs + states + 1) states, (states + 1) outputs, and the gates of an LSTM.
    assert found["urnn", 3]["parameters"] == (2 + 3 + 1) * 3 + (3 + 1) * 2
    assert found["lstm", 3]["parameters"] == 4 * (2 + 3 + 1) * 3 + (3 + 1) * 2
    for units in (2, 3):  # one is held to its set, the other is not
        assert found["urnn", units]["r2_centered"] != found["rnn", units]["r2_centered"]
    assert (tmp_path / "synthetic_snr20.png").stat().st_size > 10_000
    assert "0 of 6 trials done" in capsys.readouterr().out

    # More of the same goes into the same directory, and what is there is not run again.
    more, all_rows = run(tmp_path, "--models", "rnn", "--realizations", "2")
    assert "2 of 4 trials done" in capsys.readouterr().out
    assert [row for row in all_rows if row in rows] == rows
    counts = [(row["model"], row["realizations"]) for row in more["means"]]
    assert sorted(counts) == sorted((m, 1 + (m == "rnn")) for m in 2 * models)
    assert more["means"][0]["r2_about_zero"]["half_width"] > 0.0

    # The same pictures and means, from what is there alone.
    picture = tmp_path / "synthetic_snr20.png"
    picture.unlink()
    monkeypatch.setattr(synthetic_learning, "learn", None)
    again, _ = run(tmp_path, "--plot-only", "--seed", "1")
    assert again == more
    assert picture.stat().st_size > 10_000


def test_other_settings_are_refused(tmp_path: Path) -> None:
    arguments = synthetic.parse_arguments([*SMALL, "--output", str(tmp_path)])
    runs.claim(tmp_path, synthetic.run_settings(arguments))
    message = r"learning_rate \(0.01 there, 0.1 now\)"
    with pytest.raises(SystemExit, match=message):
        run(tmp_path, "--models", "rnn", "--learning-rate", "0.1")
    # The lines of the trials know them, too.
    settings = runs.settings_of(tmp_path)
    (tmp_path / runs.SETTINGS).unlink()
    row = {**experiments.one_realization()[0], "settings": settings}
    synthetic.journal_of(tmp_path).add(row)
    with pytest.raises(SystemExit, match=message):
        run(tmp_path, "--models", "rnn", "--learning-rate", "0.1")
    # What is refused leaves nothing that a later run would meet.
    assert not (tmp_path / runs.SETTINGS).exists()


def test_what_is_spoilt_ends_it_in_a_sentence(tmp_path: Path) -> None:
    journal = tmp_path / synthetic.JOURNAL
    journal.write_bytes(2 * b'{"trial": {"units": 2}}\n')
    sentence = r"^synthetic.py: line 1 of .*trials.jsonl is spoilt .* Remove [^\n]*$"
    with pytest.raises(SystemExit, match=sentence):
        run(tmp_path)
    assert list(tmp_path.iterdir()) == [journal]
    (tmp_path / runs.SETTINGS).write_text("{}")
    with pytest.raises(SystemExit, match=sentence):
        run(tmp_path, "--plot-only")
    (tmp_path / runs.SETTINGS).write_text("[]")
    with pytest.raises(SystemExit, match=r"settings.json is spoilt .* Remove it"):
        run(tmp_path, "--plot-only")


def test_a_killed_run_ends_as_one_that_was_not(tmp_path: Path) -> None:
    flags = ("--units", "2", "--realizations", "2")
    _, expected = run(tmp_path / "whole", *flags)
    shutil.copytree(tmp_path / "whole", tmp_path / "killed")
    journal = tmp_path / "killed" / synthetic.JOURNAL
    first, second, *_ = journal.read_bytes().splitlines(keepends=True)
    # What a kill may leave at most; that of a process is in test_permuted_mnist.py.
    journal.write_bytes(first + second[:-9])
    _, found = run(tmp_path / "killed", *flags)
    assert found == expected


@pytest.mark.each_backend
def test_the_weights_are_those_of_the_best_epoch() -> None:
    class Model:
        def __init__(self) -> None:
            self.weights = 0

        def get_weights(self) -> int:
            return self.weights

    best = synthetic_learning.BestEpoch()
    best.set_model(Model())
    best.on_train_begin()
    for epoch, loss in enumerate([3.0, 1.0, 2.0, np.nan]):
        best.model.weights = epoch
        best.on_epoch_end(epoch, {"val_loss": loss})
    assert (best.epoch, best.loss, best.weights) == (2, 1.0, 1)


def test_nothing_to_plot_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="holds no run"):
        run(tmp_path / "none", "--plot-only")
    assert not (tmp_path / "none").exists()


def test_trials_without_one_finished_are_refused(tmp_path: Path) -> None:
    arguments = synthetic.parse_arguments([*SMALL, "--output", str(tmp_path)])
    runs.claim(tmp_path, synthetic.run_settings(arguments))
    with pytest.raises(SystemExit, match="holds no finished trial"):
        run(tmp_path, "--plot-only")


@pytest.mark.parametrize(
    ("flags", "part"),
    [
        (["--sequences", "2"], "choose the epoch"),
        (["--test-ratio", "0.0001"], "test"),
        (["--test-ratio", "0.999"], "train and none to choose the epoch"),
    ],
)
def test_an_empty_part_is_refused(tmp_path: Path, flags: list[str], part: str) -> None:
    with pytest.raises(SystemExit, match=f"leave none to {part}. Take more sequences"):
        run(tmp_path / "none", *flags)
    assert not (tmp_path / "none").exists()


def test_ctrl_c_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(synthetic_learning, "learn", interrupt)
    with pytest.raises(SystemExit, match="stopped; the same command goes on"):
        run(tmp_path)


def test_what_diverges_is_kept_and_counted(tmp_path: Path) -> None:
    flags = ["--models", "rnn", "--units", "2", "--learning-rate", "1e30"]
    result, (row,) = run(tmp_path, *flags)
    assert row["diverged"]
    assert row["settings"]["seed"] == 0
    assert result["means"][0]["diverged"] == 1


def test_our_recipe_is_a_curve_of_its_own(tmp_path: Path) -> None:
    flags = ["--models", "urnn", "--units", "2"]
    run(tmp_path, *flags)
    result, (first, second) = run(tmp_path, *flags, "--recipe", "ours")
    assert [row["trial"]["recipe"] for row in (first, second)] == ["ours", "poster"]
    assert first["r2_about_zero"] != second["r2_about_zero"]
    assert [row["recipe"] for row in result["means"]] == ["poster", "ours"]


@pytest.mark.parametrize("recipe", list(synthetic_learning.RECIPES))
def test_the_start_of_each_recipe(recipe: str) -> None:
    assert recipe in synthetic_plots.FILLS.keys() & synthetic_plots.LABELS.keys()
    start = synthetic_learning.RECIPES[recipe].start
    for kind in ("urnn", "rnn"):
        model = synthetic_learning.build_model(kind, 3, task.Recipe(), start)
        kernel = keras.ops.convert_to_numpy(model.layers[0].cell.recurrent_kernel)
        np.testing.assert_allclose(kernel.T @ kernel, np.eye(3), atol=1e-6)
        assert np.array_equal(kernel, np.eye(3)) == (recipe != "poster")


def test_our_recipe_lowers_the_rate_to_nothing() -> None:
    ours = synthetic_learning.RECIPES["ours"]
    adam = synthetic_learning.optimizer(ours, 0.01, steps=100)
    adam.build([keras.Variable([0.0])])
    assert float(adam.learning_rate) == pytest.approx(0.01)
    adam.iterations.assign(100)
    assert float(adam.learning_rate) == pytest.approx(0.0, abs=1e-9)


def test_the_posters_settings() -> None:
    arguments = synthetic.parse_arguments(["--preset", "poster"])
    assert len(synthetic.wanted(arguments)) == 30 * 7 * 2 * 2
    assert arguments.units == [2, 4, 6, 8, 10, 12, 14]
    assert sorted(arguments.snr) == [15.0, 20.0]
    settings = synthetic.run_settings(arguments)
    assert settings.pop("backend") == keras.config.backend()
    assert settings == {
        "system": {
            "states": 4,
            "inputs": 2,
            "outputs": 2,
            "epsilon": 0.01,
            "on": 0.6,
            "length": 1000,
            "sequences": 1000,
        },
        "test_ratio": 0.3,
        "epochs": 100,
        "batch_size": 10,
        "learning_rate": 0.01,
        "seed": 0,
    }


def test_what_is_tested_has_no_part_in_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = ["--models", "urnn", "--units", "2"]
    _, (row,) = run(tmp_path / "as it is", *flags)

    def draw(*of: Any) -> task.Data:
        data = task.draw_data(*of)
        data.y[21:] = -data.y[21:]  # the test is the last 9 of 30
        return data

    monkeypatch.setattr(synthetic_learning, "draw", draw)
    _, (other,) = run(tmp_path / "turned", *flags)
    assert other["validation_loss"] == row["validation_loss"]
    assert other["best_epoch"] == row["best_epoch"]
    assert other["r2_about_zero"] != row["r2_about_zero"]


def test_the_split() -> None:
    assert synthetic_learning.split(1000, 0.3) == (600, 700)


def test_an_interval_by_students_t() -> None:
    assert synthetic.interval([0.5]) == {"mean": 0.5, "half_width": None}
    found = synthetic.interval([0.0, 1.0])  # 12.706 standard errors of 0.5
    assert found["half_width"] == pytest.approx(6.353, abs=1e-3)


def row(
    model: str,
    units: int,
    realization: int,
    score: float | None,
    recipe: str = "poster",
) -> dict[str, Any]:
    trial = {"model": model, "recipe": recipe, "units": units, "snr": 20.0}
    return {"trial": {**trial, "realization": realization}, "r2_about_zero": score}


def test_a_urnn_is_compared_with_the_rnn_of_half_its_units_pair_by_pair() -> None:
    rows = [
        row("rnn", 2, 0, 0.50),
        row("urnn", 4, 0, 0.60),
        row("rnn", 2, 1, 0.90),
        row("urnn", 4, 1, 1.10),
        row("urnn", 4, 2, 0.0),  # its RNN is missing
        row("urnn", 5, 0, 0.0),  # has no half
        row("rnn", 4, 0, 0.0),  # no URNN of twice its units
    ]
    (found,) = synthetic.pairs(rows)
    assert found["units"] == 4
    assert found["realizations"] == 2
    assert found["difference"] == pytest.approx(synthetic.interval([0.1, 0.2]))


def test_with_the_rnn_of_the_same_recipe_and_of_the_posters() -> None:
    rows = [row("rnn", 2, 0, 0.5), row("urnn", 4, 0, 0.8, "ours")]
    (found,) = synthetic.pairs(rows)
    assert (found["recipe"], found["against"]) == ("ours", "poster")
    assert found["difference"]["mean"] == pytest.approx(0.3)
    same, again = synthetic.pairs([*rows, row("rnn", 2, 0, 0.7, "ours")])
    assert again == found
    assert (same["recipe"], same["against"]) == ("ours", "ours")
    assert same["difference"]["mean"] == pytest.approx(0.1)
    # One of another size changes nothing.
    (found,) = synthetic.pairs([*rows, row("rnn", 8, 0, 0.7, "ours")])
    assert found["against"] == "poster"


def test_an_rnn_that_diverged_counts_like_any_other() -> None:
    rows = []
    for realization in range(8):  # the URNN is the worse in all but the last
        rnn = 0.9 if realization < 7 else -1e9
        rows.append(row("rnn", 2, realization, rnn))
        rows.append(row("urnn", 4, realization, 0.9 - 0.001 * (realization + 1)))
    (found,) = synthetic.pairs(rows)
    assert found["difference"]["mean"] > 1e8
    assert found["median"] == pytest.approx(-0.0035)
    assert found["better"] == 1
    # Ranks 1 to 7 against 8: sums of 28 and 8, of which the smaller is 8.
    assert found["p_value"] == pytest.approx(0.195, abs=1e-3)


def test_an_output_that_overflows_counts_as_the_worst() -> None:
    # JSON has no infinity: R² is null there.
    rows = [row("urnn", 4, number, 0.9) for number in range(3)]
    rows += [row("rnn", 2, number, score) for number, score in enumerate([0.8, None])]
    (found,) = synthetic.pairs(rows)
    assert found["difference"] == {"mean": np.inf, "half_width": None}
    assert found["better"] == 2
    rest = {"r2_centered": None, "diverged": True, "parameters": 1, "seconds": 1.0}
    (mean,) = synthetic.means([{**one, **rest} for one in rows[3:]])
    assert mean["r2_about_zero"] == {"mean": -np.inf, "half_width": None}
    assert mean["median"] == mean["r2_centered"]["mean"] == -np.inf
    # Where both do, neither is better.
    both = [row("urnn", 4, 1, None), row("rnn", 2, 1, None)]
    (found,) = synthetic.pairs([rows[0], rows[3], *both])
    assert found["difference"]["mean"] == pytest.approx(0.05)


def low_marks(axes: Any) -> list[float]:
    """The sizes that a mark on the lower edge says are below it."""
    lines = [np.array(line.get_xydata()) for line in axes.get_lines()]
    floor = synthetic_plots.FLOOR
    return [xy[0, 0] for xy in lines if len(xy) == 1 and xy[0, 1] == floor]


def test_the_picture_holds_ours_and_the_posters() -> None:
    half = {"mean": 0.95, "half_width": 0.01}
    means = [
        {
            "model": model,
            "recipe": recipe,
            "units": units,
            "snr": 20.0,
            "realizations": 3,
            "r2_about_zero": half,
            "median": 0.97,
        }
        for model, recipe in (("rnn", "poster"), ("urnn", "poster"), ("urnn", "ours"))
        for units in (2, 4)
    ]
    figure = synthetic_plots.figure(means, 20.0, task.ceiling(20.0))
    left, right = figure.axes
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert set(labels) == {
        "ceiling",
        "median",
        "RNN, the poster's recipe",
        "URNN, the poster's recipe",
        "URNN, our recipe",
        *(f"{model}, published" for model in ("RNN", "URNN", "LSTM")),
    }
    shown = [np.asarray(line.get_xdata()).tolist() for line in right.get_lines()]
    assert [2, 4] in shown  # the RNN
    assert [1.0, 2.0] in shown  # the URNN, halved
    heights = [np.asarray(line.get_ydata()).tolist() for line in left.get_lines()]
    assert heights.count([0.97, 0.97]) == 3  # each curve's medians
    assert "3 realizations" in figure.get_suptitle()
    assert synthetic_plots.over([10, 30]) == "10 to 30 realizations"
    whole = (synthetic_plots.FLOOR, 1.0)
    assert left.get_ylim() == right.get_ylim() == whole
    assert low_marks(left) == []
    means[0] = {**means[0], "r2_about_zero": {"mean": -1e9, "half_width": 1e9}}
    means.append({**means[1], "snr": 15.0})
    means.append({**means[0], "model": "lstm", "units": 4})  # on the left alone
    other = synthetic_plots.figure(means, 15.0, task.ceiling(15.0)).axes[0]
    assert low_marks(other) == []  # what diverged did so at another ratio
    left, right = synthetic_plots.figure(means, 20.0, task.ceiling(20.0)).axes
    assert left.get_ylim() == right.get_ylim() == whole
    assert low_marks(left) == [2, 4]
    assert low_marks(right) == [2]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--epsilon", "0"], "--epsilon: must be between 0 and 1. Received: 0"),
        (["--test-ratio", "1"], "--test-ratio: must be between 0 and 1. Received: 1"),
        (["--models", "gru"], "--models: invalid choice: 'gru'"),
        (["--snr", "nan"], "--snr: must be between -100 and 100. Received: nan"),
        (["--snr", "-4000"], "--snr: must be between -100 and 100. Received: -4000"),
        (["--learning-rate", "inf"], "--learning-rate: must be finite. Received: inf"),
        (
            ["--models", "lstm", "--recipe", "identity"],
            "--recipe identity is for --models rnn urnn",
        ),
        (["--jobs", "0"], "--jobs: must be above 0. Received: 0"),
    ],
)
def test_wrong_flags(
    flags: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        synthetic.parse_arguments(flags)
    assert message in capsys.readouterr().err
