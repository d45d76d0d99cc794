"""What is kept of each epoch of a model's training, in a folder of its own.

- `log.csv`: one row per epoch
- `backup.weights.h5`: weights and optimizer after the latest epoch
- `best.weights.h5`: those of the best validation accuracy so far
- `pieces.json`: what trained the epochs, a piece for each time it went on

Killed at any moment, a training goes on from the latest backup. A file that is spoilt
is refused: nothing is trained on what it may mean.
"""

import csv
import io
import math
import time
import warnings
from pathlib import Path
from typing import Any

import keras
import machine
from files import RunError, from_json, reading, write_bytes, write_json, write_text

LOG = "log.csv"
BEST = "best.weights.h5"
BACKUP = "backup.weights.h5"
PIECES = "pieces.json"

COLUMNS = ("epoch", "accuracy", "seconds", "val_accuracy")  # of the log, among others
PIECE = {"epochs_before": int, "environment": machine.ENVIRONMENT}


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
        # Not by h5py onto the disk: where that is full, it crashes the interpreter.
        weights = _Weights()
        self.model.save_weights(weights)
        write_bytes(self.directory / BACKUP, weights.getvalue())
        _keep_if_best(self.directory)


class _Weights(io.BytesIO):
    """A weights file in memory, which Keras knows by the end of its name."""

    def __str__(self) -> str:
        return BACKUP


def _keep_if_best(directory: Path) -> None:
    """Copy the backup where its epoch, the last in the log, is the best one."""
    epochs = history(directory)
    if best_epoch(epochs) is epochs[-1]:
        write_bytes(directory / BEST, (directory / BACKUP).read_bytes())


class EpochTimer(keras.callbacks.Callback):
    """Add the wall time of each epoch, validation included, to its logs."""

    def on_epoch_begin(self, *_: Any) -> None:
        self.start = time.perf_counter()

    def on_epoch_end(self, _epoch: int, logs: dict[str, Any]) -> None:
        logs["seconds"] = round(time.perf_counter() - self.start, 3)


class EpochLog(keras.callbacks.Callback):
    """Add a row to the log, as `keras.callbacks.CSVLogger` does, or leave it whole."""

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self.log = directory / LOG

    def on_epoch_end(self, epoch: int, logs: dict[str, Any]) -> None:
        names = sorted(logs)
        header = ",".join(["epoch", *names]) + "\n"
        lines = _whole_lines(self.log) or [header]
        if lines[0] != header:
            raise RunError(
                f"{self.log} has other columns ({lines[0].strip()}) than are measured "
                f"now ({header.strip()}). {_train_again(self.log.parent)}"
            )
        row = ",".join(map(str, [epoch, *(logs[name] for name in names)]))
        write_text(self.log, "".join([*lines, f"{row}\n"]))


def recorders(directory: Path) -> list[keras.callbacks.Callback]:
    """Return the callbacks that keep an epoch: its log, then its weights.

    In this order, so that whatever moment a kill chooses, the backup belongs to
    an epoch that is in the log.
    """
    return [
        EpochTimer(),
        EpochLog(directory),
        EpochBackup(directory),
    ]


def restore(model: Any, directory: Path, steps_per_epoch: int) -> int:
    """Load the backup into a compiled model; return the number of epochs done.

    Raises:
        RunError: when its log is missing, or one of its files is spoilt.
    """
    directory.mkdir(exist_ok=True)
    if not (directory / BACKUP).exists():
        _set_log_aside(directory)
        return 0
    if not (directory / LOG).exists():
        raise RunError(
            f"{directory} has a {BACKUP} and not the {LOG} that belongs to it. Put it "
            f"back, or remove {BACKUP} to train from the first epoch."
        )
    model.optimizer.build(model.trainable_variables)
    done = _load_epoch(model, directory / BACKUP, steps_per_epoch)
    logged = len(history(directory))
    if logged < done:
        raise RunError(
            f"{directory / LOG} has {logged} epochs, and {BACKUP} is of epoch {done}. "
            f"{_train_again(directory)}"
        )
    _trim_log(directory / LOG, done)
    _keep_if_best(directory)  # a kill may have come before
    best = best_epoch(history(directory))["epoch"]
    if _load_epoch(model, directory / BEST, steps_per_epoch) != best:
        raise RunError(
            f"{directory / BEST} is not of the best epoch of the log, {best}. "
            f"{_train_again(directory)}"
        )
    return _load_epoch(model, directory / BACKUP, steps_per_epoch)


def load(model: Any, path: Path) -> None:
    """Load weights, and the state of the optimizer that was saved with them.

    Raises:
        RunError: when the file doesn't hold all that the model has.
    """
    with reading(path, _train_again(path.parent)), warnings.catch_warnings():
        # Keras leaves an optimizer as it is whose state is missing.
        warnings.filterwarnings("error", "Skipping variable loading")
        weights = _Weights(path.read_bytes())
        try:
            model.load_weights(weights)
        except Exception as error:  # h5py's are of many types
            what = f"{type(error).__name__}: {error}".partition("\n")[0]
            raise ValueError(what) from error


def _load_epoch(model: Any, path: Path, steps_per_epoch: int) -> int:
    """Load what was saved at the end of an epoch; return the number of that epoch."""
    load(model, path)
    epoch, rest = divmod(int(model.optimizer.iterations), steps_per_epoch)
    if rest or epoch < 1:
        raise RunError(
            f"{path} is not of the end of an epoch of {steps_per_epoch} steps. "
            f"{_train_again(path.parent)}"
        )
    return epoch


def _train_again(directory: Path) -> str:
    files = f"{LOG} and {BACKUP}"
    return f"Remove {files} from {directory} to train it from the first epoch."


def _set_log_aside(directory: Path) -> None:
    epochs = len(history(directory))
    if epochs:
        aside = directory / f"{LOG}.old"
        (directory / LOG).replace(aside)
        print(
            f"Warning: {directory} has the log of {epochs} epochs and no {BACKUP}, so "
            f"its training begins again. The log is in {aside.name} now.",
            flush=True,
        )


def _trim_log(log: Path, done: int) -> None:
    # A kill between the log's row and the backup leaves one row too many.
    write_text(log, "".join(_whole_lines(log)[: done + 1]))  # a header, then the rows


def add_piece(directory: Path, done: int) -> None:
    """Note what trains the epochs after these."""
    earlier = [piece for piece in pieces(directory) if piece["epochs_before"] < done]
    piece = {"epochs_before": done, "environment": machine.environment()}
    write_json(directory / PIECES, {"pieces": [*earlier, piece]})


def pieces(directory: Path) -> list[dict[str, Any]]:
    """Return what trained a model's epochs, and how many each began after."""
    path = directory / PIECES
    if not path.exists():
        return []
    remedy = "Remove it, and the result won't say what trained the earlier epochs."
    with reading(path, remedy):
        content = from_json(path.read_bytes(), {"pieces": [PIECE]})
    found: list[dict[str, Any]] = content["pieces"]
    return found


def history(directory: Path) -> list[dict[str, float]]:
    """Return the logged epochs, those before a resume included.

    Raises:
        RunError: when the log is not one of epochs in their order.
    """
    log = directory / LOG
    if not log.exists():
        return []
    with reading(log, _train_again(directory)):
        names, *rows = csv.reader(_whole_lines(log) or [",".join(COLUMNS)])
        for name in COLUMNS:
            if names.count(name) != 1:
                raise ValueError(f"{names.count(name)} columns are named {name!r}")
        return [_epoch(names, row, number) for number, row in enumerate(rows)]


def _whole_lines(log: Path) -> list[str]:
    """Return the lines, without a last one that a machine which went down left."""
    text = log.read_text(encoding="utf-8") if log.exists() else ""
    return text[: text.rfind("\n") + 1].splitlines(keepends=True)


def _epoch(names: list[str], values: list[str], number: int) -> dict[str, float]:
    """Return a row of the log as numbers, its epoch counted from 1."""
    row = dict(zip(names, map(float, values), strict=True))
    if not all(math.isfinite(row[name]) for name in COLUMNS):
        raise ValueError(f"row {number + 1} has no number in one of {COLUMNS}")
    if row["epoch"] != number:
        raise ValueError(f"row {number + 1} is of epoch {row['epoch']:g}")
    return {**row, "epoch": number + 1}


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
