"""The layers whose hidden states are used elsewhere, so that pruning must keep them."""

from typing import Any

import keras

from keras_urnn.equivalence.models.graph import Call, arguments_of, graph_of, returned
from keras_urnn.equivalence.models.supported import is_converted
from keras_urnn.equivalence.ranges.initial_states import states_by_cell


def exposing_layers(model: Any) -> set[int]:
    """The `id` of each recurrent layer whose hidden states are used outside it.

    A cell with `output_units` has two tensors of states; the second holds the hidden
    ones. They are used outside the layer where another layer takes them, where they
    are outputs of the model, and where a call sets them as part of `initial_state`.
    Nested models are searched, too.
    """
    graph = graph_of(model)
    calls = [(call.args, call.kwargs) for call in graph.calls]
    taken = {id(x) for x in keras.tree.flatten((calls, graph.outputs))}
    found: set[int] = set()
    for call in graph.calls:
        layer = call.operation
        if type(layer) is keras.layers.TimeDistributed:
            layer = layer.layer  # a TimeDistributed returns no states
        if isinstance(layer, keras.Model):
            found |= exposing_layers(layer)
        elif layer is call.operation and is_converted(layer) and _exposes(call, taken):
            found.add(id(layer))
    return found


def _exposes(call: Call, taken: set[int]) -> bool:
    layer = call.operation
    _, given = arguments_of(layer, call.args, call.kwargs)
    parts = [] if given is None else states_by_cell(layer, given)
    _, states = returned(layer, call.outputs) if layer.return_state else (None, [])
    return any(len(part) > 1 for part in parts) or any(
        id(x) in taken for found in states for x in found[1:]
    )
