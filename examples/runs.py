"""The output directory of a run: it survives a kill, and says what made it.

- `settings.json`: what a resumed run must share with the first one
- `<model>/`: what `checkpoints.py` keeps of its training
- `result.json`: the whole story, written last
"""

import contextlib
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from checkpoints import BACKUP, LOG, history
from filelock import FileLock, Timeout
from files import RunError, from_json, reading, write_json

SETTINGS = "settings.json"
RESULT = "result.json"


class BusyError(RunError):
    """Another process is at work there."""


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
    make_directory(output)
    if not (output / SETTINGS).exists():
        write_json(output / SETTINGS, settings)
        return True
    check_same_settings(output, settings_of(output), settings)
    return False


def make_directory(output: Path) -> None:
    """Make a directory, or raise RunError when no file can be made in it."""
    try:
        output.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=output):
            pass  # that it can be made is all that is asked
    except OSError as error:
        raise RunError(
            f"--output must be a directory that can be written. {error}."
        ) from error


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
    path = output / SETTINGS
    try:
        text = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise RunError(
            f"--output {output} holds no run ({SETTINGS} is missing). Run the same "
            "command without --plot-only first, or name another --output."
        ) from error
    remedy = "Remove it if that run had the settings of this one"
    with reading(path, f"{remedy}, or choose another --output."):
        settings: dict[str, Any] = from_json(text, dict)
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
    for kept in (
        *output.glob(f"*/{LOG}"),
        *output.glob(f"*/{BACKUP}"),
    ):
        kept.unlink()
