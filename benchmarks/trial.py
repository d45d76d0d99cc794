"""What a contestant's process does: train, predict, step and project, when it's asked.

- `training`: `fit` on arrays in memory, shuffling off. From the beginning of an epoch's
  first batch until its loss is there as a number: the steps that a user's `fit` does,
  without how it starts an epoch.
- `inference`: `predict` likewise, until it returns.
- `streaming`: one step of the layer's cell on a batch of one, compiled, waiting for
  each output.
- `projection`: the recurrent constraint alone, on a kernel one step of the optimizer
  away, compiled; less a call that returns its argument.

Each is a generator of rounds, of a class in `keras_trial.py` or `torch_trial.py`.

Weights are put back after each round. Otherwise a network without constraint would
leave the numbers of the others: a norm that grows by 1 % grows 1.01^784 = 2,443 times
over a sequence.

Started by `lockstep.py`, which says what to do.
"""

import contextlib
import ctypes
import json
import os
import sys
from collections.abc import Iterator
from typing import Any

from contestants import CONTESTANTS, Entry, Shape
from measuring import memory, restart_peak


def main() -> None:
    who, problem = json.loads(sys.argv[1])
    gate = Gate()
    trial: Any = None
    while word := gate.next():
        try:
            if word == "ready":
                trial = make(Entry(*who), Shape(*problem))
                gate.answer()
            elif hasattr(trial, word):
                with contextlib.closing(getattr(trial, word)()) as rounds:
                    gate.time(rounds)
            else:
                gate.answer(missing=word)
        except Exception as error:
            # Whatever happens to one contestant, the others are still timed.
            gate.answer(error=f"{type(error).__name__}: {error}"[:500])


def make(entry: Entry, shape: Shape) -> Any:
    """Return what times a contestant. Its imports belong to its process alone."""
    if entry.flush_denormals:
        import torch

        # Before the first operation: threads take it over when they are made.
        torch.set_flush_denormal(True)
    row = CONTESTANTS[entry.contestant]
    if row.backends == ("torch",):
        import torch_trial

        return getattr(torch_trial, row.kind)(entry, shape)
    import keras_trial

    return getattr(keras_trial, row.kind)(entry, shape)


class Gate:
    """Reads words from standard input and answers each with a line of JSON."""

    def __init__(self) -> None:
        # What libraries print goes to standard error, not between the answers.
        self._answers = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)
        self._word: str | None = None

    def next(self) -> str:
        """Return the next word; the empty one when there is none any more."""
        word = self._word or sys.stdin.readline().strip()
        self._word = None
        return word

    def answer(self, **values: Any) -> None:
        self._answers.write(json.dumps(values, default=str) + "\n")
        self._answers.flush()

    def time(self, rounds: Iterator[dict[str, Any]]) -> None:
        """Report a round for each word that asks for one; leave another for `next`."""
        start, before = _trimmed(), None
        for values in rounds:
            if before is not None:
                most = memory("VmHWM")
                # XLA under TensorFlow keeps its buffers from one step to the next.
                values["mebibytes"] = round((most - start) / 1024, 2)
                values["step_mebibytes"] = round((most - before) / 1024, 2)
            self.answer(**values)
            word = self.next()
            if word not in ("again", "memory"):
                self._word = word
                return
            before = _trimmed() if word == "memory" else None
        self.answer(missing="rounds")


def _trimmed() -> int:
    """Give free memory back, restart the high-water mark, return what is held, in KiB.

    Without it what an allocator keeps would hide what the next round takes.
    """
    ctypes.CDLL(None).malloc_trim(0)
    return restart_peak()


if __name__ == "__main__":
    main()
    os._exit(0)  # threads of a backend may still wait
