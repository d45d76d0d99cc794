"""A contestant's side of `lockstep.py`: it waits for its turn and reports."""

import ctypes
import json
import os
import sys
from pathlib import Path
from typing import Any


class Gate:
    """Reads words from standard input and answers each with a line of JSON."""

    def __init__(self) -> None:
        # What libraries print goes to standard error, not between the answers.
        self._answers = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)
        self._word: str | None = None
        self._start = 0
        self._before: int | None = None

    def next(self) -> str:
        """Return the next word; the empty one when there is none any more."""
        word = self._word or sys.stdin.readline().strip()
        self._word = None
        return word

    def start(self) -> None:
        """Note what memory is held before anything is called."""
        self._start = _trimmed()

    def answer(self, **values: Any) -> None:
        self._answers.write(json.dumps(values, default=str) + "\n")
        self._answers.flush()

    def again(self, seconds: float, first: float, **values: Any) -> bool:
        """Report a round, wait for the next word, return whether it is another round.

        Any other word is left for `next`.
        """
        if self._before is not None:
            most = _memory("VmHWM")
            # XLA under TensorFlow keeps its buffers from one step to the next.
            values["mebibytes"] = round((most - self._start) / 1024, 2)
            values["step_mebibytes"] = round((most - self._before) / 1024, 2)
            self._before = None
        self.answer(seconds=seconds, first=first, **values)
        word = self.next()
        if word == "memory":
            self._before = _trimmed()
        elif word != "again":
            self._word = word
            return False
        return True


def _trimmed() -> int:
    """Give free memory back, restart the high-water mark, return what is held, in KiB.

    Without it what an allocator keeps would hide what the next round takes.
    """
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # sets VmHWM to VmRSS
    return _memory("VmRSS")


def _memory(name: str) -> int:
    status = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    (line,) = (line for line in status if line.startswith(f"{name}:"))
    return int(line.split()[1])
