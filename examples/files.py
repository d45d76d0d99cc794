"""Files that survive a kill and a full disk, and a word about those that don't.

What is written replaces the old file at once, or leaves it as it was. What is read
back is checked before it is used. Whatever is wrong with a file ends a script in one
sentence: the file, what is wrong with it, and what to remove or free.
"""

import contextlib
import csv
import errno
import json
import math
import os
import reprlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Never

FULL = (errno.ENOSPC, errno.EDQUOT)


class RunError(RuntimeError):
    """A script can't go on; the message says why, and what to do."""


@contextlib.contextmanager
def one_sentence(script: str) -> Iterator[None]:
    """End a script in a sentence where it can't go on; let bugs be seen as bugs.

    Raises:
        SystemExit: for a RunError, and for a file that can't be read or written.
    """
    try:
        yield
    except RunError as error:
        raise SystemExit(f"{script}: {error}") from error
    except OSError as error:
        raise SystemExit(f"{script}: {_in_words(error, error.filename)}") from error


def _in_words(error: OSError, path: object) -> str:
    if error.errno in FULL:
        remedy = "Free space on its disk, then run the same command again."
    else:
        remedy = "Remove what is in its place, or give this user the right to it."
    named = "" if path is None else f"{path} can't be read or written: "
    return f"{named}{error.strerror or error}. {remedy}"


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Name the file in what goes wrong: a full disk's own error doesn't.

    Raises:
        RunError: where it can't be written.
    """
    try:
        yield
    except OSError as error:
        raise RunError(_in_words(error, path)) from error


@contextlib.contextmanager
def at_once(path: Path) -> Iterator[Path]:
    """Yield where to write a file: whoever reads meets the old one or the new one.

    Raises:
        RunError: where it can't be written. The old one stays.
    """
    # Each process has one of its own.
    unfinished = path.with_name(f"{os.getpid()}.unfinished.{path.name}")
    try:
        with writing(path):
            yield unfinished
            unfinished.replace(path)
    finally:
        with contextlib.suppress(OSError):
            unfinished.unlink()


def write_bytes(path: Path, content: bytes) -> None:
    with at_once(path) as unfinished:
        unfinished.write_bytes(content)


def write_text(path: Path, text: str) -> None:
    write_bytes(path, text.encode())


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


@contextlib.contextmanager
def reading(what: object, remedy: str) -> Iterator[None]:
    """Refuse a file whose content a reader refuses by ValueError.

    Args:
        what: the file, or the part of it.
        remedy: what to remove, and what that costs.

    Raises:
        RunError: then.
    """
    try:
        yield
    except (ValueError, RecursionError, csv.Error) as error:  # JSON can nest too deep
        raise RunError(f"{what} is spoilt ({error}). {remedy}") from error


def from_json(text: bytes, shape: Any) -> Any:
    """Return what strict JSON holds.

    Raises:
        ValueError: when it is no JSON, or not of that shape; see `check`.
    """
    content = json.loads(text, parse_constant=_refuse_constant)
    check(content, shape)
    return content


def _refuse_constant(name: str) -> Never:
    raise ValueError(f"{name} is no JSON")


def check(content: Any, shape: Any, name: str = "its content") -> None:
    """Raise ValueError when content read from JSON doesn't have a shape.

    Args:
        content: what was read.
        shape: a type or a union of types; a tuple of all values that may be; a list
            of the one shape that all entries have; or a dictionary of the shapes of
            fields, among others. A field whose name ends in "?" may be missing.
        name: what the content is called in the message.
    """
    if isinstance(shape, tuple):
        fits, expected = content in shape, f"one of {shape}"
    else:
        kind = type(shape) if isinstance(shape, dict | list) else shape
        # To Python, True is an integer.
        fits = isinstance(content, kind) and isinstance(content, bool) == (kind is bool)
        expected = getattr(kind, "__name__", str(kind))
    if not fits:
        raise ValueError(f"{name} must be {expected}, not {reprlib.repr(content)}")
    if isinstance(shape, list):
        for entry in content:
            check(entry, shape[0], f"each of {name}")
    if isinstance(shape, dict):
        _check_fields(content, shape)


def _check_fields(content: dict[str, Any], shape: dict[str, Any]) -> None:
    for field, inner in shape.items():
        name = field.removesuffix("?")
        if name in content:
            check(content[name], inner, f"{name!r}")
        elif name == field:
            raise ValueError(f"{name!r} is missing")
