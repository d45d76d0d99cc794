"""The output directory of a run: it survives a kill, and says what made it.

- `settings.json`: what a resumed run must share with the first one
- `<model>/log.csv`: one row per epoch, by `keras.callbacks.CSVLogger`
- `<model>/backup.weights.h5`: weights and optimizer after the latest epoch
- `<model>/best.weights.h5`: those of the best validation accuracy so far
- `<model>/pieces.json`: what trained its epochs, a piece for each time it went on
- `result.json`: the whole story, written last
"""

import contextlib
import csv
import json
import math
import os
import platform
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import keras
from filelock import FileLock, Timeout

SETTINGS = "settings.json"
RESULT = "result.json"
LOG = "log.csv"
BEST = "best.weights.h5"
BACKUP = "backup.weights.h5"
PIECES = "pieces.json"


class RunError(RuntimeError):
    """The output directory can't be used; the message says what to do."""


class BusyError(RunError):
    """Another process is at work there."""


@contextlib.contextmanager
def at_once(path: Path) -> Iterator[Path]:
    """Yield where to write a file: whoever reads meets the old one or the new one."""
    # Each process has one of its own.
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.unfinished")
    yield unfinished
    unfinished.replace(path)


def write_text(path: Path, text: str) -> None:
    with at_once(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8")


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    write_text(path, to_json(content, indent=1) + "\n")


def to_json(content: Any, indent: int | None = None) -> str:
    """Return strict JSON, which has neither NaN nor infinity: they become null."""
    return json.dumps(_finite(content), indent=indent, allow_nan=False)


def _finite(content: Any) -> Any:
    if isinstance(content, Mapping):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    if isinstance(content, float) and not math.isfinite(content):
        return None
    return content


def open_directory(
    output: Path, settings: Mapping[str, Any], resume: bool, epochs: int
) -> None:
    """Make `output` ready for a run with these `settings`, or say why not.

    A finished run with the same settings may be done again; its result stays
    until the new one replaces it. An unfinished one is only ever resumed.

    Raises:
        RunError: when `output` can't be written, holds a run with other
            settings (each differing field is named), an unfinished run while
            `resume` is false, or one of more than `epochs` epochs.
    """
    if claim(output, settings):
        return
    if resume:
        check_epochs((log.parent for log in output.glob(f"*/{LOG}")), epochs)
        return
    if not (output / RESULT).exists():
        raise RunError(
            f"--output {output} holds an unfinished run. Add --resume to go on "
            "with it, or choose another --output."
        )
    _forget_training(output)


def claim(output: Path, settings: Mapping[str, Any]) -> bool:
    """Make `output` one for runs with these `settings`; return whether it is new.

    Raises:
        RunError: when `output` can't be written, or holds a run with other settings
            (each differing field is named).
    """
    try:
        output.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=output):
            pass  # that it can be made is all that is asked
        if not (output / SETTINGS).exists():
            write_json(output / SETTINGS, settings)
            return True
    except OSError as error:
        raise RunError(
            f"--output must be a directory that can be written. {error}."
        ) from error
    check_same_settings(output, settings_of(output), settings)
    return False


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Let no other process work in a folder for as long as this one does.

    Raises:
        BusyError: when another one does.
    """
    try:
        held = FileLock(folder / ".lock").acquire(timeout=0)
    except Timeout as error:
        raise BusyError(
            f"another process is at work in {folder}. Wait for it, or choose another "
            "--output."
        ) from error
    with held:
        yield


def settings_of(output: Path) -> dict[str, Any]:
    """Return the settings of the runs that `output` holds.

    Raises:
        RunError: when it holds none.
    """
    try:
        text = (output / SETTINGS).read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError) as error:
        raise RunError(
            f"--output {output} holds no run ({SETTINGS} is missing). Run the same "
            "command without --plot-only first, or name another --output."
        ) from error
    try:
        settings: dict[str, Any] = json.loads(text)
        _fields(settings)
    except (ValueError, AttributeError) as error:
        raise RunError(
            f"{output / SETTINGS} is no JSON of settings ({error}). Choose another "
            "--output."
        ) from error
    return settings


def check_same_settings(
    output: Path, there: Mapping[str, Any], settings: Mapping[str, Any]
) -> None:
    """Raise RunError when settings that `output` holds are not these."""
    earlier, now = _fields(there), _fields(settings)
    differing = [
        f"{field} ({earlier.get(field)} there, {now.get(field)} now)"
        for field in sorted({*earlier, *now})
        if earlier.get(field) != now.get(field)
    ]
    if differing:
        raise RunError(
            f"--output {output} holds a run with other settings: "
            f"{', '.join(differing)}. Choose another --output."
        )


def _fields(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of groups beside the others."""
    found: dict[str, Any] = {}
    for name, value in settings.items():
        inner = _fields(value) if isinstance(value, Mapping) else {"": value}
        found.update({f"{name}.{k}".rstrip("."): v for k, v in inner.items()})
    return found


def check_epochs(folders: Iterable[Path], epochs: int) -> None:
    """Raise RunError when more than `epochs` are trained already in one of these."""
    done = {len(history(folder)): folder for folder in folders}
    most = max(done, default=0)
    if epochs < most:
        raise RunError(
            f"--epochs must be at least {most}, the number already trained in "
            f"{done[most]}. Received: {epochs}."
        )


def _forget_training(output: Path) -> None:
    for kept in (*output.glob(f"*/{LOG}"), *output.glob(f"*/{BACKUP}")):
        kept.unlink()


class EpochBackup(keras.callbacks.Callback):
    """Keep weights and optimizer of the latest epoch, and of the best one.

    `keras.callbacks.BackupAndRestore` writes the weights and the number of the
    epoch into two files, which a kill can tear apart. Here it is one file,
    replaced at once; the optimizer's own step counter tells the epoch. The best
    one is a copy of it, made after the log and the backup have the epoch.
    """

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self.directory = directory

    def on_epoch_end(self, *_: Any) -> None:
        unfinished = self.directory / "unfinished.weights.h5"
        self.model.save_weights(unfinished)
        unfinished.replace(self.directory / BACKUP)
        _keep_if_best(self.directory)


def _keep_if_best(directory: Path) -> None:
    """Copy the backup where its epoch, the last in the log, is the best one."""
    epochs = history(directory)
    if best_epoch(epochs) is epochs[-1]:
        unfinished = directory / "unfinished.weights.h5"
        shutil.copyfile(directory / BACKUP, unfinished)
        unfinished.replace(directory / BEST)


class EpochTimer(keras.callbacks.Callback):
    """Add the wall time of each epoch, validation included, to its logs."""

    def on_epoch_begin(self, *_: Any) -> None:
        self.start = time.perf_counter()

    def on_epoch_end(self, _epoch: int, logs: dict[str, Any]) -> None:
        logs["seconds"] = round(time.perf_counter() - self.start, 3)


def recorders(directory: Path) -> list[keras.callbacks.Callback]:
    """Return the callbacks that keep an epoch: its log, then its weights.

    In this order, so that whatever moment a kill chooses, the backup belongs to
    an epoch that is in the log.
    """
    return [
        EpochTimer(),
        keras.callbacks.CSVLogger(directory / LOG, append=True),
        EpochBackup(directory),
    ]


def restore(model: Any, directory: Path, steps_per_epoch: int) -> int:
    """Load the backup into a compiled model; return the number of epochs done.

    Raises:
        RunError: when its log is missing.
    """
    directory.mkdir(exist_ok=True)
    if not (directory / BACKUP).exists():
        _set_log_aside(directory)
        return 0
    if not (directory / LOG).exists():
        raise RunError(
            f"{directory} has a {BACKUP} and not the {LOG} that belongs to it. Put it "
            f"back, or take {BACKUP} away to train anew."
        )
    model.optimizer.build(model.trainable_variables)
    model.load_weights(directory / BACKUP)
    done = int(model.optimizer.iterations) // steps_per_epoch
    _trim_log(directory / LOG, done)
    _keep_if_best(directory)  # a kill may have come before
    return done


def _set_log_aside(directory: Path) -> None:
    epochs = len(history(directory))
    if epochs:
        aside = directory / f"{LOG}.old"
        (directory / LOG).replace(aside)
        print(
            f"Warning: {directory} has the log of {epochs} epochs and no {BACKUP}, so "
            f"its training begins anew. The log is in {aside.name} now.",
            flush=True,
        )


def _trim_log(log: Path, done: int) -> None:
    # A kill between the log's row and the backup leaves one row too many.
    lines = log.read_text(encoding="utf-8").splitlines(keepends=True)
    write_text(log, "".join(lines[: done + 1]))  # the header, then one a row


def add_piece(directory: Path, done: int) -> None:
    """Note what trains the epochs after these."""
    earlier = [piece for piece in pieces(directory) if piece["epochs_before"] < done]
    piece = {"epochs_before": done, "environment": environment()}
    write_json(directory / PIECES, {"pieces": [*earlier, piece]})


def pieces(directory: Path) -> list[dict[str, Any]]:
    """Return what trained a model's epochs, and how many each began after."""
    if not (directory / PIECES).exists():
        return []
    text = (directory / PIECES).read_text(encoding="utf-8")
    found: list[dict[str, Any]] = json.loads(text)["pieces"]
    return found


def history(directory: Path) -> list[dict[str, float]]:
    """Return the logged epochs, those before a resume included."""
    if not (directory / LOG).exists():
        return []
    with (directory / LOG).open(newline="", encoding="utf-8") as log:
        rows = [{k: float(v) for k, v in row.items()} for row in csv.DictReader(log)]
    return [{**row, "epoch": int(row["epoch"]) + 1} for row in rows]


def best_epoch(epochs: list[dict[str, float]]) -> dict[str, float]:
    """Return the first of those with the best validation accuracy."""
    return max(epochs, key=lambda row: row["val_accuracy"])


def summary(directory: Path) -> dict[str, Any]:
    """Return a model's logged epochs and which of them was kept."""
    epochs = history(directory)
    best = best_epoch(epochs)
    return {
        "best_epoch": best["epoch"],
        "validation_accuracy": best["val_accuracy"],
        "seconds": round(sum(row["seconds"] for row in epochs), 1),
        "history": epochs,
    }


def device() -> str:
    """Name the device that the active backend puts its tensors on."""
    # `keras.distribution.list_devices` does not exist under PyTorch.
    return str(keras.ops.zeros(()).device).rpartition("device:")[2].lower()


def environment() -> dict[str, Any]:
    """What a number depends on beside its settings."""
    backend = keras.config.backend()
    packages = ("keras_urnn", "keras", backend, "numpy", "scipy")
    return {
        "backend": backend,
        "device": device(),
        "processor": platform.machine(),
        "gpu": _gpu(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "versions": {name: import_module(name).__version__ for name in packages},
        "commit": _commit(),
    }


def _gpu() -> str | None:
    """Return the name of the first GPU, or `None` where NVIDIA's driver is not."""
    found = _said("nvidia-smi", "--query-gpu=name", "--format=csv,noheader")
    return found.partition("\n")[0] or None


def _commit() -> str | None:
    """Return the commit, marked where the code differs, or `None` outside git."""
    commit = _git("rev-parse", "HEAD")
    # A run may write its results among those that are committed.
    code = ("keras_urnn", "examples", ":!examples/results")
    if commit and _git("status", "--porcelain", "--", *code):
        return f"{commit}-dirty"
    return commit or None


def _git(*arguments: str) -> str:
    return _said("git", *arguments)


def _said(*command: str) -> str:
    root = Path(__file__).parents[1]
    try:
        found = subprocess.run(command, cwd=root, capture_output=True, text=True)
    except FileNotFoundError:  # the command itself is not installed
        return ""
    return found.stdout.strip()
