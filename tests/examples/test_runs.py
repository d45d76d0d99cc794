"""The output directory: what it refuses, what survives, what it records."""

import json
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import runs
from filelock import FileLock

SETTINGS = {"units": 4, "seed": 0}
LOG = "epoch,accuracy,seconds,val_accuracy\n0,0.1,2.0,0.3\n1,0.2,3.0,0.5\n"


def start(
    output: Path,
    settings: Mapping[str, Any] = SETTINGS,
    resume: bool = False,
    epochs: int = 2,
) -> None:
    runs.open_directory(output, settings, resume, epochs)


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    """An output directory with a log of two epochs and no result yet."""
    start(tmp_path)
    (tmp_path / "unitary").mkdir()
    (tmp_path / "unitary" / runs.LOG).write_text(LOG)
    (tmp_path / "unitary" / runs.BACKUP).write_text("weights")
    return tmp_path


def test_new_directory_records_the_settings(tmp_path: Path) -> None:
    start(tmp_path / "a" / "b")
    assert json.loads((tmp_path / "a" / "b" / runs.SETTINGS).read_text()) == SETTINGS


def test_each_piece_of_a_training_is_noted_once(tmp_path: Path) -> None:
    def began() -> list[int]:
        return [piece["epochs_before"] for piece in runs.pieces(tmp_path)]

    assert began() == []
    for done in (0, 3, 3, 5):  # the second was killed before an epoch was done
        runs.add_piece(tmp_path, done)
    assert began() == [0, 3, 5]
    runs.add_piece(tmp_path, 0)  # anew
    assert began() == [0]
    (piece,) = runs.pieces(tmp_path)
    assert piece["environment"] == runs.environment()


@pytest.mark.parametrize("resume", [False, True])
def test_other_settings_are_refused_field_by_field(trained: Path, resume: bool) -> None:
    other = {"units": 5, "seed": 1}
    with pytest.raises(runs.RunError) as refusal:
        start(trained, other, resume)
    assert "units (4 there, 5 now)" in str(refusal.value)
    assert "seed (0 there, 1 now)" in str(refusal.value)


def test_only_differing_fields_are_named(trained: Path) -> None:
    with pytest.raises(runs.RunError) as refusal:
        start(trained, {**SETTINGS, "seed": 1})
    assert "units" not in str(refusal.value)


def test_unfinished_run_is_only_resumed(trained: Path) -> None:
    with pytest.raises(runs.RunError, match="--resume"):
        start(trained)
    start(trained, resume=True)
    assert (trained / "unitary" / runs.BACKUP).exists()


def test_finished_run_starts_again_and_keeps_its_result(trained: Path) -> None:
    runs.write_json(trained / runs.RESULT, {})
    start(trained)
    assert (trained / runs.RESULT).exists()
    assert not (trained / "unitary" / runs.BACKUP).exists()
    assert not (trained / "unitary" / runs.LOG).exists()


def test_fewer_epochs_than_done_are_refused(trained: Path) -> None:
    with pytest.raises(runs.RunError, match="at least 2"):
        start(trained, resume=True, epochs=1)


def test_output_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(runs.RunError, match="--output"):
        start(tmp_path / "file")


def test_failed_write_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    runs.write_json(path, {"kept": True})
    with pytest.raises(TypeError, match="serializable"):
        runs.write_json(path, {"not JSON": object()})
    assert json.loads(path.read_text()) == {"kept": True}
    assert list(tmp_path.iterdir()) == [path]


def test_summary_names_the_first_best_epoch(trained: Path) -> None:
    summary = runs.summary(trained / "unitary")
    assert summary["best_epoch"] == 2
    assert summary["validation_accuracy"] == 0.5
    assert summary["seconds"] == 5.0
    assert [row["epoch"] for row in summary["history"]] == [1, 2]


def compiled_model() -> Any:
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("rmsprop", "mse")
    return model


def state(model: Any) -> list[Any]:
    variables = [*model.weights, *model.optimizer.variables]
    return [keras.ops.convert_to_numpy(variable) for variable in variables]


def test_backup_restores_weights_optimizer_and_epoch(tmp_path: Path) -> None:
    x, y = np.ones((6, 2)), np.ones((6, 1))
    model = compiled_model()
    (tmp_path / runs.LOG).write_text(LOG)
    backup = runs.EpochBackup(tmp_path)
    model.fit(x, y, batch_size=2, epochs=2, callbacks=[backup], verbose=0)

    resumed = compiled_model()
    assert runs.restore(resumed, tmp_path, steps_per_epoch=3) == 2
    for mine, theirs in zip(state(resumed), state(model), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert len(runs.history(tmp_path)) == 2


THIRD = "2,0.2,3.0,{}\n"  # a row of the log


def saved(model: Any, path: Path) -> bool:
    other = compiled_model()
    other.optimizer.build(other.trainable_variables)
    other.load_weights(path)
    weights = zip(other.get_weights(), model.get_weights(), strict=True)
    return all(np.array_equal(a, b) for a, b in weights)


def test_the_best_epoch_is_kept_beside_the_latest(tmp_path: Path) -> None:
    model = compiled_model()
    model.optimizer.build(model.trainable_variables)
    backup = runs.EpochBackup(tmp_path)
    backup.set_model(model)
    log = tmp_path / runs.LOG
    log.write_text(LOG)
    backup.on_epoch_end()
    assert saved(model, tmp_path / runs.BEST)
    model.set_weights([weights + 1.0 for weights in model.get_weights()])
    log.write_text(LOG + THIRD.format(0.4))
    backup.on_epoch_end()
    assert saved(model, tmp_path / runs.BACKUP)
    assert not saved(model, tmp_path / runs.BEST)

    # As after a kill between the two of an epoch that was the best.
    model.optimizer.iterations.assign(3)
    model.save_weights(tmp_path / runs.BACKUP)
    log.write_text(LOG + THIRD.format(0.6))
    assert runs.restore(compiled_model(), tmp_path, steps_per_epoch=1) == 3
    assert saved(model, tmp_path / runs.BEST)


def test_restore_drops_the_row_of_an_epoch_without_backup(tmp_path: Path) -> None:
    model = compiled_model()
    model.optimizer.build(model.trainable_variables)
    model.optimizer.iterations.assign(3)
    model.save_weights(tmp_path / runs.BACKUP)
    (tmp_path / runs.LOG).write_text(LOG)
    assert runs.restore(compiled_model(), tmp_path, steps_per_epoch=3) == 1
    assert [row["epoch"] for row in runs.history(tmp_path)] == [1]


def test_a_log_without_backup_is_set_aside(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / runs.LOG).write_text(LOG)
    assert runs.restore(compiled_model(), tmp_path, steps_per_epoch=3) == 0
    assert "has the log of 2 epochs and no backup" in capsys.readouterr().out
    assert runs.history(tmp_path) == []
    assert (tmp_path / "log.csv.old").read_text() == LOG


def test_a_backup_without_log_is_refused(tmp_path: Path) -> None:
    (tmp_path / runs.BACKUP).write_text("weights")
    with pytest.raises(runs.RunError, match=r"not the log\.csv that belongs to it"):
        runs.restore(None, tmp_path, steps_per_epoch=1)


def test_settings_that_differ_within_a_group_are_named(tmp_path: Path) -> None:
    start(tmp_path, {"system": {"states": 4, "on": 0.6}})
    with pytest.raises(runs.RunError) as refusal:
        start(tmp_path, {"system": {"states": 4, "on": 0.5}}, resume=True)
    assert "settings: system.on (0.6 there, 0.5 now)." in str(refusal.value)


@pytest.mark.parametrize("text", ["{", "", "[1]"])
def test_settings_that_are_none_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / runs.SETTINGS).write_text(text)
    with pytest.raises(runs.RunError, match=r"settings.json is no JSON"):
        runs.settings_of(tmp_path)
    with pytest.raises(runs.RunError, match="holds no run"):
        runs.settings_of(tmp_path / runs.SETTINGS)


def test_a_directory_that_no_file_can_be_made_in(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: Any) -> None:
        raise PermissionError("not yours")  # whoever runs this may be root

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    with pytest.raises(runs.RunError, match=r"that can be written\. not yours"):
        runs.claim(trained, SETTINGS)


def test_a_folder_is_for_one_at_a_time(tmp_path: Path) -> None:
    other = FileLock(tmp_path / ".lock")
    busy = pytest.raises(runs.BusyError, match="another process is at work in")
    with other, busy, runs.alone(tmp_path):
        pass
    with runs.alone(tmp_path):
        pass


def test_environment_says_where_a_number_comes_from() -> None:
    environment = runs.environment()
    assert environment["backend"] == keras.config.backend()
    assert environment["versions"]["keras"] == keras.__version__
    assert "cpu" in environment["device"] or "cuda" in environment["device"]


def test_the_gpu_is_named_as_its_driver_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert runs.environment()["gpu"] is None
    driver = tmp_path / "nvidia-smi"
    driver.write_text("#!/bin/sh\necho 'NVIDIA H100'\necho 'NVIDIA A100'\n")
    driver.chmod(0o755)
    assert runs.environment()["gpu"] == "NVIDIA H100"


def test_the_commit_is_marked_where_the_code_differs_not_the_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def git(*arguments: str) -> str:
        name = ("-c", "user.name=a", "-c", "user.email=a@b")
        command = ["git", "-C", str(tmp_path), *name, *arguments]
        return subprocess.run(
            command, check=True, capture_output=True, text=True
        ).stdout

    code = tmp_path / "examples" / "script.py"
    results = tmp_path / "examples" / "results"
    results.mkdir(parents=True)
    code.write_text("")
    git("init")
    git("add", ".")
    git("commit", "-m", "first")
    commit = git("rev-parse", "HEAD").strip()
    monkeypatch.setattr(runs, "__file__", str(code))
    (results / "trials.jsonl").write_text("{}")
    assert runs.environment()["commit"] == commit
    code.write_text("1")
    assert runs.environment()["commit"] == f"{commit}-dirty"
