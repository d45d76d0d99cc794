"""The `initial_state` that a layer is called with."""

from typing import Any

from keras import ops

from keras_urnn.layers import shapes
from keras_urnn.linalg import Tensor


def completed_start(layer: Any, initial_state: Any, sequences: Tensor) -> list[Tensor]:
    """All states of the cell, from a list of them or from one of the outputs' width.

    One of width `output_units`, as a `SimpleRNN` would take it, is completed by the
    rest of the layer's own initial state.
    """
    several = isinstance(initial_state, (list, tuple))
    states = initial_state if several else [initial_state]
    given = shapes.fitted_states(layer, states, sequences)
    widths = [state.shape[-1] for state in given]
    if layer.output_units is not None and widths == [layer.output_units]:
        _, rest = layer.get_initial_state(ops.shape(given[0])[0])
        return [given[0], ops.cast(rest, given[0].dtype)]
    if widths != layer.state_size:
        or_first = ", or the first of them" if layer.output_units else ""
        raise ValueError(
            f"`initial_state` of '{layer.name}' must hold states of widths "
            f"{layer.state_size}{or_first}. Received: widths {widths}. The last "
            "axis of a state is its width."
        )
    return given
