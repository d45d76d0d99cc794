"""Keras' progress bar for a call that takes long, shown once it has taken five seconds.

The call sets the number of stages, and the functions it calls report each that is done.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import keras

SECONDS = 5.0  # what takes less shows nothing


class _Progress:
    def __init__(self, stages: int) -> None:
        self._stages, self._done = stages, 0
        self._start = time.perf_counter()
        self._bar: keras.utils.Progbar | None = None

    def advance(self) -> None:
        self._done = min(self._done + 1, self._stages)
        if self._bar is None and time.perf_counter() - self._start >= SECONDS:
            self._bar = keras.utils.Progbar(self._stages, unit_name="stage")
        if self._bar is not None:
            self._bar.update(self._done)

    def end(self) -> None:
        if self._bar is not None and self._done < self._stages:
            self._bar.update(self._stages, finalize=True)


_current: ContextVar[_Progress | None] = ContextVar("progress", default=None)


@contextmanager
def progress(stages: int) -> Iterator[None]:
    """Show how many of the stages are done while the body runs, if it takes long."""
    shown = _Progress(stages)
    token = _current.set(shown)
    try:
        yield
        shown.end()
    finally:
        _current.reset(token)


def advance() -> None:
    """Tell the progress bar, where there is one, that a stage is done."""
    current = _current.get()
    if current is not None:
        current.advance()
