"""Many trials in parallel, each finished one a line in a file that survives a kill.

A trial is a function's arguments, and its line is these and what came out. Who calls
again gets what is there already and runs the rest, so a run that was killed goes on
by the same command.
"""

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import joblib
import keras

ENGINES = ("local", "ray", "dask")
Trial = dict[str, Any]


class Journal:
    """A file of JSON lines, one for each finished trial."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._set_aside_torn_line()

    def rows(self) -> list[dict[str, Any]]:
        if not self.path.exists():
            return []
        lines = self.path.read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines]

    def add(self, row: dict[str, Any]) -> None:
        """Append a row, and return when it is on the disk."""
        line = (json.dumps(row) + "\n").encode()
        with self.path.open("ab", buffering=0) as file:
            file.write(line)
            os.fsync(file.fileno())

    def _set_aside_torn_line(self) -> None:
        # A machine that goes down within a write leaves a line that is none.
        lines = self.path.read_bytes().splitlines(True) if self.path.exists() else []
        if lines and not _is_row(lines[-1]):
            aside = self.path.with_name(self.path.name + ".torn")
            with aside.open("ab") as file:
                file.write(lines[-1])
            os.truncate(self.path, sum(map(len, lines[:-1])))
            print(
                f"Warning: the last line of {self.path} was not whole. It is in "
                f"{aside.name} now, and its trial will be run again.",
                flush=True,
            )


def run(
    function: Callable[[Trial], dict[str, Any]],
    trials: list[Trial],
    journal: Journal,
    jobs: int = 1,
    engine: str = "local",
) -> list[dict[str, Any]]:
    """Run the trials that the journal lacks; return the rows of all, in their order.

    Args:
        function: takes a trial and returns its results. It is called in processes of
            their own, unless `jobs` is 1 on the local engine.
        trials: each a dictionary that JSON can hold.
        journal: where each goes when it is done.
        jobs: how many at once.
        engine: one of `ENGINES`: joblib's own processes, or a cluster of Ray or Dask,
            which is taken where its environment says so and else started here.
    """
    done = {_key(row["trial"]) for row in journal.rows()}
    missing = [trial for trial in trials if _key(trial) not in done]
    print(f"{len(trials) - len(missing)} of {len(trials)} trials done", flush=True)
    if missing:
        bar = keras.utils.Progbar(len(missing), unit_name="trial")
        with _engine(engine):
            calls = (joblib.delayed(_run)(function, trial) for trial in missing)
            parallel = joblib.Parallel(jobs, return_as="generator_unordered")
            for row in parallel(calls):
                journal.add(row)
                bar.add(1)
    rows = {_key(row["trial"]): row for row in journal.rows()}
    return [rows[_key(trial)] for trial in trials]


def _run(function: Callable[[Trial], dict[str, Any]], trial: Trial) -> dict[str, Any]:
    return {"trial": trial, **function(trial)}


def _is_row(line: bytes) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return line.endswith(b"\n")


def _key(trial: Trial) -> str:
    return json.dumps(trial, sort_keys=True)


@contextlib.contextmanager
def _engine(name: str) -> Iterator[None]:
    if name == "local":
        yield
    elif name == "ray":
        from ray.util.joblib import register_ray

        register_ray()
        with joblib.parallel_config(backend="ray"):
            yield
    else:
        from distributed import Client

        with Client(), joblib.parallel_config(backend="dask"):
            yield
