"""Many trials in parallel, each finished one a line in a file that survives a kill.

A trial is a function's arguments, and its line is these and what came out. Who calls
again gets what is there already and runs the rest, so a run that was killed goes on
by the same command.
"""

import contextlib
import json
import os
from collections.abc import Callable, Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import joblib
import keras
import runs
from filelock import FileLock
from files import RunError, from_json, reading, to_json, writing

# An engine, and the package that it needs.
ENGINES = {"local": "joblib", "dask": "distributed"}
Trial = dict[str, Any]
Row = dict[str, Any]
ROW = {"trial": dict, "settings?": dict}  # what every function's rows have


class Journal:
    """A file of JSON lines, one for each finished trial, that processes may share.

    Args:
        path: the file, which the first row makes.
        check_row: raises ValueError for a row that its function can't have returned.
    """

    def __init__(
        self, path: Path, check_row: Callable[[Row], None] = lambda _: None
    ) -> None:
        self.path = path
        self.check_row = check_row
        self.lock = FileLock(path.with_name(path.name + ".lock"))

    def rows(self) -> list[Row]:
        """Return all lines, without a last one that a machine which went down left.

        Raises:
            RunError: when another line is no row.
        """
        lines = self._lines()
        if lines and not _is_whole(lines[-1]):
            del lines[-1]
        return [self._row(number, line) for number, line in enumerate(lines, start=1)]

    def latest(self) -> dict[str, Row]:
        """Return the last row of each trial."""
        return {_key(row["trial"]): row for row in self.rows()}

    def check(self, settings: dict[str, Any]) -> None:
        """Raise RunError when no row can be added, or one has other settings.

        Settings that a row or this run doesn't have are not compared.
        """
        try:
            if self.path.exists():
                with self.path.open("ab"):
                    pass  # that it opens is all that is asked
        except OSError as error:
            raise RunError(
                f"--output must hold a journal that can be written. {error}."
            ) from error
        for row in self.rows():
            there = row.get("settings", {})
            both = there.keys() & settings.keys()
            earlier, now = (
                {name: of[name] for name in both} for of in (there, settings)
            )
            runs.check_same_settings(self.path.parent, earlier, now)

    def add(self, row: Row) -> None:
        """Append a row, and return when it is on the disk.

        Raises:
            RunError: when it can't be written. The journal is what it was.
        """
        line = (to_json(row) + "\n").encode()
        with self.lock, writing(self.path):
            self.set_torn_line_aside()  # another process may have left one since
            whole = self.path.stat().st_size if self.path.exists() else 0
            try:
                with self.path.open("ab") as file:
                    file.write(line)
                    file.flush()
                    os.fsync(file.fileno())
            except OSError:
                with contextlib.suppress(OSError):
                    os.truncate(self.path, whole)
                raise

    def set_torn_line_aside(self) -> None:
        """Move a last line that is not whole to a file of its own, with a warning."""
        with self.lock:
            lines = self._lines()
            if not lines or _is_whole(lines[-1]):
                return
            aside = self.path.with_name(self.path.name + ".torn")
            with writing(aside), aside.open("ab") as file:
                file.write(lines[-1])
            os.truncate(self.path, sum(map(len, lines[:-1])))
        print(
            f"Warning: the last line of {self.path} was not whole. It is in "
            f"{aside.name} now, and its trial will be run again.",
            flush=True,
        )

    def _lines(self) -> list[bytes]:
        return self.path.read_bytes().splitlines(True) if self.path.exists() else []

    def _row(self, number: int, line: bytes) -> Row:
        remedy = "Remove that line, and its trial will be run again."
        with reading(f"line {number} of {self.path}", remedy):
            row: Row = from_json(line, ROW)
            self.check_row(row)
        return row


def check_engine(name: str) -> None:
    """Raise RunError when the engine's package is not installed."""
    package = ENGINES[name]
    if find_spec(package) is None:
        raise RunError(
            f"--engine {name} needs the package {package}, which is not installed: "
            f"pip install {package}"
        )


def run(
    function: Callable[[Trial], dict[str, Any]],
    trials: list[Trial],
    journal: Journal,
    jobs: int = 1,
    engine: str = "local",
) -> list[Row]:
    """Run the trials that the journal lacks; return the rows of all, in their order.

    Args:
        function: takes a trial and returns its results. It is called in processes of
            their own, unless `jobs` is 1 on the local engine.
        trials: each a dictionary that JSON can hold.
        journal: where each goes when it is done.
        jobs: how many at once. A Dask cluster that is there runs as many as it has
            threads.
        engine: one of `ENGINES`: joblib's own processes, or a cluster of Dask, which
            is taken where its settings name one and else started here. Its workers
            should have one thread each: a trial sets the random seed of its process.
    """
    journal.set_torn_line_aside()
    done = journal.latest()
    wanted = {_key(trial): trial for trial in trials}
    missing = [trial for key, trial in wanted.items() if key not in done]
    print(f"{len(wanted) - len(missing)} of {len(wanted)} trials done", flush=True)
    if missing:
        bar = keras.utils.Progbar(len(missing), unit_name="trial")
        calls = (joblib.delayed(_run)(function, trial) for trial in missing)
        for row in _finished(calls, jobs, engine):
            journal.add(row)
            bar.add(1)
    rows = journal.latest()
    return [rows[_key(trial)] for trial in trials]


def run_in(
    output: Path,
    settings: dict[str, Any],
    function: Callable[[Trial], dict[str, Any]],
    trials: list[Trial],
    journal: Journal,
    jobs: int,
    engine: str = "local",
) -> None:
    """Run what the journal of a directory lacks, as `run` does, and nobody else there.

    Raises:
        RunError: when the directory has other settings, or another run is in it.
    """
    check_engine(engine)
    journal.check(settings)
    runs.claim(output, settings)
    with runs.alone(output):
        run(function, trials, journal, jobs, engine)


def all_rows(output: Path, journal: Journal) -> list[Row]:
    """Return the last row of each trial of a directory, or raise if there is none."""
    rows = list(journal.latest().values())
    if not rows:
        raise RunError(
            f"--output {output} holds no finished trial. Run the same command without "
            "--plot-only first."
        )
    return rows


def _run(function: Callable[[Trial], dict[str, Any]], trial: Trial) -> Row:
    return {"trial": trial, **function(trial)}


def _is_whole(line: bytes) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return line.endswith(b"\n")


def _key(trial: Trial) -> str:
    return json.dumps(trial, sort_keys=True)


def _finished(calls: Iterable[Any], jobs: int, engine: str) -> Iterator[Row]:
    """Yield the rows as they come."""
    with _dask(jobs) if engine == "dask" else contextlib.nullcontext():
        yield from joblib.Parallel(jobs, return_as="generator_unordered")(calls)


@contextlib.contextmanager
def _dask(jobs: int) -> Iterator[None]:
    """Let joblib use the Dask cluster that is there, or one of `jobs` workers."""
    import dask
    from distributed import Client

    there = dask.config.get("scheduler-address", None)
    # Port 0 is any free one: a second cluster beside this one needs its own.
    new = {"n_workers": jobs, "threads_per_worker": 1, "dashboard_address": ":0"}
    with Client(**({} if there else new)), joblib.parallel_config(backend="dask"):
        yield
