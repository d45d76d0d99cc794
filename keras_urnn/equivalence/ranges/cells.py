"""The cells of a recurrent layer, and what is known of a cell by its class."""

from typing import Any

import keras

from keras_urnn.equivalence.ranges.activations import flat_activation
from keras_urnn.layers.contractive_rnn import ContractiveRNNCell
from keras_urnn.layers.unitary_rnn import UnitaryRNNCell

OUR_CELLS = (ContractiveRNNCell, UnitaryRNNCell)
SIMPLE_CELLS = (keras.layers.SimpleRNNCell, *OUR_CELLS)


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
