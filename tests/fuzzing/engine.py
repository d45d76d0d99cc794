"""One call: what it comes to, how long it takes, and whether it may end like that."""

import faulthandler
import signal
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras

import keras_urnn as ku

LIMIT = 10.0  # seconds
_DEADLY = 60.0  # seconds: what no signal ends, as a loop in LAPACK, ends the process
_KERAS = f"{Path(keras.__file__).parent}/"
_READER = f"{_KERAS}src/saving/"
_PACKAGE = f"{Path(ku.__file__).parent}/"
KERAS_READER, KERAS_BEFORE = "Keras' reader", "Keras, before the package"
ALLOWED = ("returned", "ValueError", "TypeError", KERAS_READER, KERAS_BEFORE)


@dataclass(frozen=True)
class Call:
    """A function of the package, and what it is called with.

    Attributes:
        name: string. The function, or what is done with it.
        function: what is called.
        args, kwargs: its arguments.
    """

    name: str
    function: Callable[..., Any]
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        given = [_shown(value) for value in self.args]
        given += [f"{name}={_shown(value)}" for name, value in self.kwargs.items()]
        return f"{self.name}({', '.join(given)})"


@dataclass(frozen=True)
class Outcome:
    """How a call ended: `kind` is one of `ALLOWED`, or the name of what it raised."""

    kind: str
    seconds: float
    where: str = ""
    message: str = ""
    raw: bool = False

    @property
    def is_allowed(self) -> bool:
        return self.kind in ALLOWED


class TooLongError(BaseException):
    """No `Exception`, so that nothing on the way catches it."""


def run(call: Call) -> Outcome:
    """Run a call. Warnings of arithmetic are errors: the numbers are then wrong."""
    with warnings.catch_warnings(action="ignore"), _limited():
        warnings.simplefilter("error", RuntimeWarning)
        start = time.perf_counter()
        try:
            call.function(*call.args, **call.kwargs)
        except TooLongError as error:
            where = _last_frame(error, _PACKAGE)
            return Outcome("too long", time.perf_counter() - start, where)
        except Exception as error:
            return _ended_by(error, time.perf_counter() - start)
        seconds = time.perf_counter() - start
        return Outcome("returned" if seconds <= LIMIT else "too long", seconds)


@contextmanager
def _limited() -> Iterator[None]:
    def stop(*_: Any) -> None:
        raise TooLongError

    previous = signal.signal(signal.SIGALRM, stop)
    # File 2, the error output: pytest puts an object that is no file in its place.
    faulthandler.dump_traceback_later(_DEADLY, exit=True, file=2)
    signal.setitimer(signal.ITIMER_REAL, LIMIT)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        faulthandler.cancel_dump_traceback_later()
        signal.signal(signal.SIGALRM, previous)


def _ended_by(error: Exception, seconds: float) -> Outcome:
    where = _last_frame(error, _PACKAGE)
    raw = "keras_urnn/" not in _last_frame(error)
    kind = _kind(error)
    if seconds > LIMIT:
        kind = "too long"
    return Outcome(kind, seconds, where, _first_line(error), raw)


def _kind(error: Exception) -> str:
    """The class of an error; a subclass from elsewhere is no ValueError for a user."""
    for allowed in (ValueError, TypeError):
        ours = type(error).__module__.startswith("keras_urnn")
        if type(error) is allowed or (ours and isinstance(error, allowed)):
            return allowed.__name__
    return _keras_own(error) or type(error).__name__


def _keras_own(error: Exception) -> str:
    """Whose error it is where no line of this package can help it; empty else.

    Keras' reader of configs has raised where one of its frames is behind the package's
    last. Keras has raised before the package sees an argument where only Keras has
    frames, or the package has just called a class: `keras.Layer.__new__` goes through
    all arguments.
    """
    frames = traceback.extract_tb(error.__traceback__)
    ours = [i for i, frame in enumerate(frames) if frame.filename.startswith(_PACKAGE)]
    behind = frames[ours[-1] + 1 :] if ours else frames
    behind = [frame for frame in behind if frame.filename.startswith(_KERAS)]
    if any(frame.filename.startswith(_READER) for frame in behind):
        return KERAS_READER
    before = bool(behind) if not ours else any(x.name == "__new__" for x in behind)
    return KERAS_BEFORE if before else ""


def _last_frame(error: BaseException, part: str = "") -> str:
    """The innermost frame in a file whose path has this part."""
    frames = traceback.extract_tb(error.__traceback__)
    found = [frame for frame in frames if part in frame.filename]
    if not found:
        return ""
    name = found[-1].filename
    name = name.rpartition("/site-packages/")[2]
    if name.startswith(_PACKAGE):
        name = f"keras_urnn/{name.removeprefix(_PACKAGE)}"
    return f"{name}:{found[-1].lineno} {found[-1].name}"


def _first_line(error: Exception) -> str:
    try:
        lines = str(error).splitlines()
    except Exception as other:
        return f"(no message: {type(other).__name__})"
    return lines[0][:200] if lines else ""


def _shown(value: Any) -> str:
    """`repr`, on one line and short, whatever the value."""
    if isinstance(value, keras.Layer):
        return f"<{type(value).__name__} {value.name}>"
    try:
        text = " ".join(repr(value).split())
    except Exception as error:
        text = f"<{type(value).__name__}: {type(error).__name__} in repr>"
    return text if len(text) <= 160 else f"{text[:157]}..."


def show_all_frames() -> None:
    """Show every frame: Keras hides its own."""
    keras.config.disable_traceback_filtering()
    faulthandler.enable(2)
