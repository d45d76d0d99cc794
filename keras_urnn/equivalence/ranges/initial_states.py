"""The range of the states that the cells of a recurrent layer start from."""

from typing import Any

import keras

from keras_urnn.equivalence.ranges.cells import SIMPLE_CELLS, cells_of, directions_of
from keras_urnn.equivalence.ranges.intervals import (
    STORAGE_ROUNDOFF,
    ZERO,
    Interval,
    arithmetic_dtype,
    rounded,
)
from keras_urnn.equivalence.ranges.recurrence import recurrence_of
from keras_urnn.layers.contractive_rnn import ContractiveRNN
from keras_urnn.layers.unitary_rnn import UnitaryRNN


def resting_starts(layer: Any) -> list[Interval]:
    """The range of the states at rest per cell.

    A stateful layer may also start from 0: one that learns its start does until the
    first `reset_state` after its weights were set, and `keras.layers.RNN` whenever it
    is reset.
    """
    return [
        # A cell is not stateful.
        _rest(cell, getattr(one, "stateful", False), type(one))
        for one in directions_of(layer)
        for cell in cells_of(one)
    ]


def _rest(cell: Any, stateful: bool, layer: type[Any]) -> Interval:
    if type(cell) not in SIMPLE_CELLS:
        return ZERO
    rest = recurrence_of(cell).rest
    ours = layer in (ContractiveRNN, UnitaryRNN)
    fixed = ours and not cell.learn_initial_state
    return rest if fixed or not stateful else rest.hull(ZERO)


def given_starts(layer: Any, given: Any) -> list[Interval]:
    """The range of `initial_state` per cell, side by side where it has several states.

    The states at rest are included: the networks are run from these, too.

    Args:
        layer: built recurrent layer.
        given: the argument, with an `Interval` in the place of each tensor.
    """
    parts = states_by_cell(layer, given)
    cells = zip(cells_of(layer), parts, resting_starts(layer), strict=True)
    return [_joined(cell, states).hull(rest) for cell, states, rest in cells]


def states_by_cell(layer: Any, given: Any) -> list[list[Any]]:
    """The flat list of initial states for each of `cells_of(layer)`."""
    if isinstance(layer, keras.layers.Bidirectional):
        half = len(given) // 2
        forward = states_by_cell(layer.forward_layer, given[:half])
        return forward + states_by_cell(layer.backward_layer, given[half:])
    if isinstance(layer.cell, keras.layers.StackedRNNCells):
        return [keras.tree.flatten(part) for part in given]
    return [keras.tree.flatten(given)]


def _joined(cell: Any, parts: list[Interval]) -> Interval:
    widths = keras.tree.flatten(cell.state_size)
    spread = [x.spread(n) for x, n in zip(parts, widths, strict=False)]
    start = Interval.concatenate(*spread)
    # Our layers fill a state of `output_units` up with the rest of the resting state.
    if len(parts) < len(widths) and type(cell) in SIMPLE_CELLS:
        rest = recurrence_of(cell).rest
        given = start.lower.size
        others = Interval(rest.lower[given:], rest.upper[given:])
        start = Interval.concatenate(start, others)
    # A layer casts its initial state.
    dtype = arithmetic_dtype(cell)
    return rounded(start, dtype) if dtype in STORAGE_ROUNDOFF else start
