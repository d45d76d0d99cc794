"""Which values recurrent layers and cells can give, and their states can take."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_urnn.equivalence.matrices.obstructions import Obstruction
from keras_urnn.equivalence.ranges.activations import (
    activation_range,
    flat_activation,
)
from keras_urnn.equivalence.ranges.intervals import (
    REAL_LINE,
    ZERO,
    Array,
    Interval,
    arithmetic_dtype,
    rounded,
    to_float64,
)
from keras_urnn.equivalence.ranges.proof_of_inactivity import prove_inactive
from keras_urnn.equivalence.ranges.reachable_states import Recurrence, reachable_states
from keras_urnn.equivalence.ranges.rescaled_states import admissible
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
# For each cell of a layer, the range of the states that it starts from.
Starts = Sequence[Interval | None]


def recurrence_of(cell: Any) -> Recurrence:
    """Read the weights of a built cell out, in float64."""
    ours = type(cell) in OUR_CELLS
    matrix = to_float64(cell.recurrent_matrix() if ours else cell.recurrent_kernel)
    zeros = np.zeros(len(matrix))
    centre = _resting_state(cell) if ours else None
    learned = cell.learned_initial_state if ours else None
    rest = zeros if centre is None else centre
    return Recurrence(
        kernel=to_float64(cell.kernel),
        recurrent_matrix=matrix,
        bias=zeros if cell.bias is None else to_float64(cell.bias),
        initial_state=rest if learned is None else to_float64(learned),
        dtype=cell.compute_dtype if ours else arithmetic_dtype(cell),
        stored_dtype=cell.variable_dtype,
        activation=cell.activation,
        scale=np.asarray(cell.state_scale) if ours and cell.state_scale else None,
        resting_state=centre,
    )


def _resting_state(cell: Any) -> Array | None:
    """The centre of one of our cells, as it computes with it."""
    if cell.resting_state is None:
        return None
    return to_float64(keras.ops.cast(cell.resting_state, cell.compute_dtype))


def visible_units(cell: Any) -> int:
    """How many of its states a cell outputs; they are the first."""
    ours = type(cell) in OUR_CELLS
    return int((cell.output_units if ours else None) or cell.units)


def is_flat(cell: Any) -> bool:
    """Whether the activation is constant on a half-line, as the cell computes."""
    dtype = getattr(cell.activation, "compute_dtype", cell.compute_dtype)
    flat = flat_activation(cell.activation)
    return flat is not None and bool(dtype == cell.compute_dtype)


def directions_of(layer: Any) -> list[Any]:
    """The two layers of a `Bidirectional`; of any other, itself."""
    if isinstance(layer, keras.layers.Bidirectional):
        return [layer.forward_layer, layer.backward_layer]
    return [layer]


def cells_of(layer: Any) -> list[Any]:
    """The cells of a cell, of a stack, or of a (bidirectional) recurrent layer."""
    if isinstance(layer, keras.layers.Bidirectional):
        return cells_of(layer.forward_layer) + cells_of(layer.backward_layer)
    if isinstance(layer, keras.layers.RNN):
        return cells_of(layer.cell)
    if isinstance(layer, keras.layers.StackedRNNCells):
        return list(layer.cells)
    return [layer]


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


def visible_range(states: Interval | None, cell: Any) -> Interval | None:
    """The range of the states that a cell outputs, of that of all of them."""
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

    Side by side where it has several; infinite for those that have no bound.
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
    if isinstance(found, Obstruction):
        return None
    if horizon is None and not found.is_bounded:
        return None
    reachable = reachable_states(found, entering, horizon, start)
    if not reachable.is_bounded:
        return None
    box, d = reachable.box, found.d
    return rounded(Interval(box.lower / d, box.upper / d), found.dtype)


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
