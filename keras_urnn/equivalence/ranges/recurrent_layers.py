"""The range of the outputs of a recurrent layer, and of the states it returns."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_urnn.equivalence.ranges.cell_ranges import state_range, visible_range
from keras_urnn.equivalence.ranges.cells import cells_of
from keras_urnn.equivalence.ranges.intervals import ZERO, Interval
from keras_urnn.layers.contractive_rnn import ContractiveRNN
from keras_urnn.layers.unitary_rnn import UnitaryRNN

RECURRENT_LAYERS = (
    keras.layers.RNN,
    keras.layers.SimpleRNN,
    keras.layers.LSTM,
    keras.layers.GRU,
    ContractiveRNN,
    UnitaryRNN,
)
# For each cell of a layer, the range of the states that it starts from.
Starts = Sequence[Interval | None]


def recurrent_ranges(
    layer: Any,
    entering: Interval | None,
    horizon: int | None,
    starts: Starts | None,
) -> list[Interval | None]:
    """The range of each output of a recurrent layer and of the states it returns.

    Args:
        layer: built recurrent layer; nothing is known of a subclass.
        entering: the range of its inputs, if known.
        horizon: integer or `None`.
        starts: for each of its cells the range of the states that it starts from,
            side by side; `None` for the one at rest, or for all of them.
    """
    cells = cells_of(layer)
    starts = starts or [None] * len(cells)
    if isinstance(layer, keras.layers.Bidirectional):
        return _of_both_directions(layer, entering, horizon, starts)
    states: list[Interval | None] = []
    visible: list[Interval | None] = []
    for cell, start in zip(cells, starts, strict=True):
        found = None
        if entering is not None and type(layer) in RECURRENT_LAYERS:
            found = state_range(cell, entering, horizon, start)
        states += _split(found, cell)
        visible.append(visible_range(found, cell))
        entering = visible[-1]
    # A masked step gives zeros or the state it holds, which is in the cell's range.
    output = None if entering is None else entering.hull(ZERO, *_held(visible))
    return [output, *(states if layer.return_state else [])]


def _held(visible: list[Interval | None]) -> list[Interval]:
    """What else a masked step may give: on JAX the state of a stack's first cell.

    Keras takes it for the previous output where the states come in a flat list.
    """
    first, last = visible[0], visible[-1]
    if first is None or last is None or keras.config.backend() != "jax":
        return []
    return [first] if first.lower.shape == last.lower.shape else []


def _of_both_directions(
    layer: Any,
    entering: Interval | None,
    horizon: int | None,
    starts: Starts,
) -> list[Interval | None]:
    half = len(cells_of(layer.forward_layer))
    forward, *states = recurrent_ranges(
        layer.forward_layer, entering, horizon, starts[:half]
    )
    backward, *others = recurrent_ranges(
        layer.backward_layer, entering, horizon, starts[half:]
    )
    if layer.merge_mode is None:
        return [forward, backward, *states, *others]
    return [_merged(layer.merge_mode, forward, backward), *states, *others]


def _merged(
    mode: str, forward: Interval | None, backward: Interval | None
) -> Interval | None:
    if forward is None or backward is None:
        return None
    if mode == "concat":
        return Interval.concatenate(forward, backward)
    if mode == "sum":
        return forward + backward
    return forward * backward if mode == "mul" else forward.hull(backward)


def _split(states: Interval | None, cell: Any) -> list[Interval | None]:
    """The range of each of the tensors that hold the states of a cell."""
    widths = keras.tree.flatten(cell.state_size)
    if states is None:
        return [None] * len(widths)
    ends = np.cumsum(widths)[:-1]
    lower, upper = np.split(states.lower, ends), np.split(states.upper, ends)
    return [Interval(*both) for both in zip(lower, upper, strict=True)]
