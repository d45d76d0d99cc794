"""The output directory: what it refuses, what survives, what it records."""

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import runs

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
    backup = runs.EpochBackup(tmp_path)
    model.fit(x, y, batch_size=2, epochs=2, callbacks=[backup], verbose=0)
    (tmp_path / runs.LOG).write_text(LOG)

    resumed = compiled_model()
    assert runs.restore(resumed, tmp_path, steps_per_epoch=3) == 2
    for mine, theirs in zip(state(resumed), state(model), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert len(runs.history(tmp_path)) == 2


def test_restore_drops_the_row_of_an_epoch_without_backup(tmp_path: Path) -> None:
    (tmp_path / runs.LOG).write_text(LOG)
    assert runs.restore(compiled_model(), tmp_path, steps_per_epoch=3) == 0
    assert runs.history(tmp_path) == []


def test_environment_says_where_a_number_comes_from() -> None:
    environment = runs.environment()
    assert environment["backend"] == keras.config.backend()
    assert environment["versions"]["keras"] == keras.__version__
    assert "cpu" in environment["device"] or "cuda" in environment["device"]


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
