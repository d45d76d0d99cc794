"""`keras.layers.SimpleRNN`, by the fused recurrence: the same numbers, sooner."""

from typing import Any

import keras_urnn as ku


class Free(ku.parametrizations.Projection):
    """The recurrent matrix itself, which nothing keeps on a set after its start."""

    def build(self, cell: Any) -> None:
        super().build(cell)
        cell.recurrent_kernel.constraint = None


def free_rnn(units: int, **arguments: Any) -> Any:
    """Return a `SimpleRNN` with ReLU; its start must be orthogonal."""
    return ku.UnitaryRNN(units, parametrization=Free(), **arguments)
