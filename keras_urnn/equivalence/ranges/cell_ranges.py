"""The range of the states of one recurrent cell, and of its outputs."""

from typing import Any

import keras

from keras_urnn.equivalence.matrices.obstructions import Obstruction
from keras_urnn.equivalence.ranges.activations import activation_range
from keras_urnn.equivalence.ranges.cells import SIMPLE_CELLS, is_flat, visible_units
from keras_urnn.equivalence.ranges.intervals import (
    REAL_LINE,
    ZERO,
    Interval,
    arithmetic_dtype,
    unscaled,
)
from keras_urnn.equivalence.ranges.proof_of_inactivity import prove_inactive
from keras_urnn.equivalence.ranges.reachable_states import reachable_states
from keras_urnn.equivalence.ranges.recurrence import recurrence_of
from keras_urnn.equivalence.ranges.rescaled_states import admissible


def visible_range(states: Interval | None, cell: Any) -> Interval | None:
    """The range of the outputs of a cell, given the range of all of its states."""
    if states is None:
        return None
    visible = visible_units(cell)
    return Interval(states.lower[:visible], states.upper[:visible])


def cell_range(
    cell: Any, entering: Interval, horizon: int | None, start: Interval | None = None
) -> Interval | None:
    """The range of the outputs of a cell, its initial state included, if known."""
    return visible_range(state_range(cell, entering, horizon, start), cell)


def state_range(
    cell: Any, entering: Interval, horizon: int | None, start: Interval | None = None
) -> Interval | None:
    """The range of the states of a cell, the initial ones included, if known.

    A cell with several tensors of states has them side by side; the interval is
    infinite for those without a bound.
    """
    if type(cell) is keras.layers.LSTMCell:
        found = _lstm_range(cell)
        memory = REAL_LINE.spread(cell.units)
        found = None if found is None else Interval.concatenate(found, memory)
    elif type(cell) is keras.layers.GRUCell:
        found = _gru_range(cell)
    elif type(cell) in SIMPLE_CELLS:
        return _simple_range(cell, entering, horizon, start)
    else:
        return None
    return found if found is None or start is None else found.hull(start)


def _simple_range(
    cell: Any, entering: Interval, horizon: int | None, start: Interval | None
) -> Interval | None:
    recurrence = recurrence_of(cell)
    if visible_units(cell) < cell.units and is_flat(cell):
        # What theorem 1 has added never moves, and the others have a bound.
        proved = prove_inactive(recurrence, entering, horizon, start)
        return proved.box if proved.is_bounded else None
    found = admissible(recurrence, horizon)
    if isinstance(found, Obstruction) or (horizon is None and not found.is_bounded):
        return None
    reachable = reachable_states(found, entering, horizon, start)
    if not reachable.is_bounded:
        return None
    return unscaled(reachable.box, found.d, found.dtype)


def _lstm_range(cell: Any) -> Interval | None:
    # h = σ(.) φ(c)
    gate, value = _gate_and_value(cell)
    product = None if gate is None or value is None else gate * value
    return None if product is None else product.hull(ZERO).spread(cell.units)


def _gru_range(cell: Any) -> Interval | None:
    # h = z h + (1 - z) φ(.) lies between its arguments while z = σ(.) is in [0, 1].
    gate, value = _gate_and_value(cell)
    if gate is None or value is None or not _is_gate(gate):
        return None
    # Each step may add its rounding to the last one's: 1e-3 pays for thousands.
    return value.hull(ZERO).widen(1e-3).spread(cell.units)


def _is_gate(gate: Interval) -> bool:
    return bool(gate.lower > -1e-5 and gate.upper < 1.0 + 1e-5)


def _gate_and_value(cell: Any) -> tuple[Interval | None, Interval | None]:
    dtype = arithmetic_dtype(cell)
    return (
        activation_range(cell.recurrent_activation, REAL_LINE, dtype),
        activation_range(cell.activation, REAL_LINE, dtype),
    )
