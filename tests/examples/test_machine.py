"""What a number depends on is recorded beside it."""

import subprocess
from pathlib import Path

import keras
import machine
import pytest


def test_environment_says_where_a_number_comes_from() -> None:
    environment = machine.environment()
    assert environment["backend"] == keras.config.backend()
    assert environment["versions"]["keras"] == keras.__version__
    assert "cpu" in environment["device"] or "cuda" in environment["device"]


def test_the_gpu_is_named_as_its_driver_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert machine.environment()["gpu"] is None
    driver = tmp_path / "nvidia-smi"
    driver.write_text("#!/bin/sh\necho 'NVIDIA H100'\necho 'NVIDIA A100'\n")
    driver.chmod(0o755)
    assert machine.environment()["gpu"] == "NVIDIA H100"


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
    monkeypatch.setattr(machine, "__file__", str(code))
    (results / "trials.jsonl").write_text("{}")
    assert machine.environment()["commit"] == commit
    code.write_text("1")
    assert machine.environment()["commit"] == f"{commit}-dirty"
