"""What a contestant's process does: train, predict, step and project, when it's asked.

- `training`: `fit` on arrays in memory, shuffling off. From the beginning of an epoch's
  first batch until its loss is there as a number: the steps that a user's `fit` does,
  without how it starts an epoch.
- `inference`: `predict` likewise, until it returns.
- `streaming`: one step of the layer's cell on a batch of one, compiled, waiting for
  each output.
- `projection`: the recurrent constraint alone, on a kernel one step of the optimizer
  away, compiled; less a call that returns its argument.

Weights are put back after each round. Otherwise a network without constraint would
leave the numbers of the others: a norm that grows by 1 % grows 1.01^784 = 2,443 times
over a sequence.

Started by `lockstep.py`, which says what to do.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

from contestants import CONTESTANTS, Entry
from gate import Gate
from shapes import Shape

CLASSES = 10
LEARNING_RATE = 1e-4
STREAMED = 50  # steps of a round
SEED = 0


def main() -> None:
    entry, shape = (
        Entry(*json.loads(sys.argv[1])[0]),
        Shape(*json.loads(sys.argv[1])[1]),
    )
    gate = Gate()
    trial: Any = None
    while word := gate.next():
        try:
            if word == "ready":
                trial = make(entry, shape)
                gate.answer()
            elif hasattr(trial, word):
                gate.start()
                getattr(trial, word)(gate)
            else:
                gate.answer(missing=word)
        except Exception as error:
            # Whatever happens to one contestant, the others are still timed.
            gate.answer(error=f"{type(error).__name__}: {error}"[:500])


def make(entry: Entry, shape: Shape) -> Any:
    if entry.flush_denormals:
        import torch

        # Before the first operation: threads take it over when they are made.
        torch.set_flush_denormal(True)
    kind = CONTESTANTS[entry.contestant].kind
    if kind == "KerasTrial":
        import keras_trial

        return keras_trial.KerasTrial(entry, shape)
    if kind == "ProductTrial":
        import product_trial

        return product_trial.ProductTrial(entry, shape)
    import torch_trial

    return getattr(torch_trial, kind)(entry, shape)


def data(shape: Shape) -> tuple[Any, Any]:
    """Return the inputs and classes of one round."""
    import numpy as np

    rng = np.random.default_rng(SEED)
    samples = shape.batch * shape.per_round
    x = rng.random((samples, shape.steps, shape.features), dtype="float32")
    return x, rng.integers(0, CLASSES, samples)


def repeat(
    gate: Gate,
    call: Callable[[], object],
    calls: int = 1,
    after: Callable[[], object] = lambda: None,
) -> None:
    """Time rounds of `calls` calls, by the call, as long as the gate asks for them.

    `after` follows each round, untimed.
    """
    first = timed(call)
    seconds = first
    after()
    while gate.again(seconds, first):
        seconds = timed(call, calls)
        after()


def timed(call: Callable[[], object], calls: int = 1) -> float:
    start = time.perf_counter()
    for _ in range(calls):
        call()
    return (time.perf_counter() - start) / calls


if __name__ == "__main__":
    main()
    os._exit(0)  # threads of a backend may still wait
