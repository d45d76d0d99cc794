"""Which values recurrent layers and cells can give, and their states can take."""

from typing import Any

import keras
import numpy as np

from keras_urnn.equivalence.activation_ranges import REAL_LINE, activation_range
from keras_urnn.equivalence.intervals import (
    ZERO,
    Interval,
    arithmetic_dtype,
    rounded,
    to_float64,
)
from keras_urnn.equivalence.obstructions import Obstruction
from keras_urnn.equivalence.reachable import Recurrence, reachable_states
from keras_urnn.equivalence.rescaling import admissible
from keras_urnn.layers.contractive_rnn import ContractiveRNN, ContractiveRNNCell
from keras_urnn.layers.unitary_rnn import UnitaryRNN, UnitaryRNNCell

OUR_CELLS = (ContractiveRNNCell, UnitaryRNNCell)
SIMPLE_CELLS = (keras.layers.SimpleRNNCell, *OUR_CELLS)
RECURRENT_LAYERS = (
    keras.layers.RNN,
    keras.layers.SimpleRNN,
    keras.layers.LSTM,
    keras.layers.GRU,
    ContractiveRNN,
    UnitaryRNN,
)


def recurrence_of(cell: Any) -> Recurrence:
    """Read the weights of a built cell out, in float64."""
    ours = type(cell) in OUR_CELLS
    matrix = to_float64(cell.recurrent_matrix() if ours else cell.recurrent_kernel)
    zeros = np.zeros(len(matrix))
    learned = _start(cell) if ours else None
    return Recurrence(
        kernel=to_float64(cell.kernel),
        recurrent_matrix=matrix,
        bias=zeros if cell.bias is None else to_float64(cell.bias),
        initial_state=zeros if learned is None else to_float64(learned),
        dtype=cell.compute_dtype if ours else arithmetic_dtype(cell),
        stored_dtype=cell.variable_dtype,
        activation=cell.activation,
        scale=np.asarray(cell.state_scale) if ours and cell.state_scale else None,
    )


def _start(cell: Any) -> Any:
    """The initial state of one of our cells, if it isn't zero."""
    if cell.learned_initial_state is not None:
        return cell.learned_initial_state
    return cell.resting_state


def visible_units(cell: Any) -> int:
    """How many of its states a cell outputs; they are the first."""
    ours = type(cell) in OUR_CELLS
    return int((cell.output_units if ours else None) or cell.units)


def recurrent_range(
    layer: Any, entering: Interval, horizon: int | None
) -> Interval | None:
    """The range of the outputs of a recurrent layer, if known.

    It isn't where states are outputs too: the cell state of an LSTM is not bounded.
    """
    if layer.return_state:
        return None
    found = cell_range(layer.cell, entering, horizon)
    # A masked step gives zeros or the state it holds, which is in the cell's range.
    return None if found is None else found.hull(ZERO)


def cell_range(cell: Any, entering: Interval, horizon: int | None) -> Interval | None:
    """The range of the outputs of a cell, its initial state included, if known."""
    if type(cell) is keras.layers.StackedRNNCells:
        return _stacked_range(cell, entering, horizon)
    if type(cell) is keras.layers.LSTMCell:
        return _lstm_range(cell)
    if type(cell) is keras.layers.GRUCell:
        return _gru_range(cell)
    return (
        _simple_range(cell, entering, horizon) if type(cell) in SIMPLE_CELLS else None
    )


def wrapped_range(
    layer: Any, entering: Interval, horizon: int | None
) -> Interval | None:
    """The range of the outputs of a `Bidirectional` layer, if known."""
    forward = recurrent_range(layer.forward_layer, entering, horizon)
    backward = recurrent_range(layer.backward_layer, entering, horizon)
    if forward is None or backward is None:
        return None
    if layer.merge_mode == "concat":
        return Interval.concatenate(forward, backward)
    if layer.merge_mode == "sum":
        return forward + backward
    if layer.merge_mode == "mul":
        return forward * backward
    return forward.hull(backward)  # the average, or both one by one


def _stacked_range(
    stack: Any, entering: Interval, horizon: int | None
) -> Interval | None:
    for cell in stack.cells:
        found = cell_range(cell, entering, horizon)
        if found is None:
            return None
        entering = found
    return entering


def _simple_range(
    cell: Any, entering: Interval, horizon: int | None
) -> Interval | None:
    recurrence = admissible(recurrence_of(cell), horizon)
    if isinstance(recurrence, Obstruction):
        return None
    if horizon is None and not recurrence.is_bounded:
        return None
    reachable = reachable_states(recurrence, entering, horizon)
    if not reachable.is_bounded:
        return None
    box, d = reachable.box, recurrence.d
    states = rounded(Interval(box.lower / d, box.upper / d), recurrence.dtype)
    visible = visible_units(cell)
    return Interval(states.lower[:visible], states.upper[:visible])


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
