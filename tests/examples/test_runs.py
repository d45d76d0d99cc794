"""The output directory: what it refuses, what survives, what it records."""

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import checkpoints
import pytest
import runs
from filelock import FileLock
from files import RunError, write_json

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
    (tmp_path / "unitary" / checkpoints.LOG).write_text(LOG)
    (tmp_path / "unitary" / checkpoints.BACKUP).write_text("weights")
    return tmp_path


def test_new_directory_records_the_settings(tmp_path: Path) -> None:
    start(tmp_path / "a" / "b")
    assert json.loads((tmp_path / "a" / "b" / runs.SETTINGS).read_text()) == SETTINGS


@pytest.mark.parametrize("resume", [False, True])
def test_other_settings_are_refused_field_by_field(trained: Path, resume: bool) -> None:
    other = {"units": 5, "seed": 1}
    with pytest.raises(RunError) as refusal:
        start(trained, other, resume)
    assert "units (4 there, 5 now)" in str(refusal.value)
    assert "seed (0 there, 1 now)" in str(refusal.value)


def test_only_differing_fields_are_named(trained: Path) -> None:
    with pytest.raises(RunError) as refusal:
        start(trained, {**SETTINGS, "seed": 1})
    assert "units" not in str(refusal.value)


def test_unfinished_run_is_only_resumed(trained: Path) -> None:
    with pytest.raises(RunError, match="--resume"):
        start(trained)
    start(trained, resume=True)
    assert (trained / "unitary" / checkpoints.BACKUP).exists()


def test_finished_run_starts_again_and_keeps_its_result(trained: Path) -> None:
    write_json(trained / runs.RESULT, {})
    start(trained)
    assert (trained / runs.RESULT).exists()
    assert not (trained / "unitary" / checkpoints.BACKUP).exists()
    assert not (trained / "unitary" / checkpoints.LOG).exists()


def test_fewer_epochs_than_done_are_refused(trained: Path) -> None:
    with pytest.raises(RunError, match="at least 2"):
        start(trained, resume=True, epochs=1)


def test_output_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="--output"):
        start(tmp_path / "file")


def test_settings_that_differ_within_a_group_are_named(tmp_path: Path) -> None:
    start(tmp_path, {"system": {"states": 4, "on": 0.6}})
    with pytest.raises(RunError) as refusal:
        start(tmp_path, {"system": {"states": 4, "on": 0.5}}, resume=True)
    assert "settings: system.on (0.6 there, 0.5 now)." in str(refusal.value)


def test_settings_that_are_missing_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for output in (tmp_path, tmp_path / "none", tmp_path / "file"):
        with pytest.raises(RunError, match="holds no run"):
            runs.settings_of(output)


def test_a_directory_that_no_file_can_be_made_in(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: Any) -> None:
        raise PermissionError("not yours")  # whoever runs this may be root

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    with pytest.raises(RunError, match=r"that can be written\. not yours"):
        runs.claim(trained, SETTINGS)


def test_a_folder_is_for_one_at_a_time(tmp_path: Path) -> None:
    other = FileLock(tmp_path / ".lock")
    busy = pytest.raises(runs.BusyError, match="another process is at work in")
    with other, busy, runs.alone(tmp_path):
        pass
    with runs.alone(tmp_path):
        pass
