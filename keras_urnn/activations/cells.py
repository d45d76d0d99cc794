"""The activation of a cell, by its name or from an instance."""

from typing import Any

import keras

from keras_urnn import _checks
from keras_urnn.activations.base import CellActivation
from keras_urnn.activations.modrelu import ModReLU
from keras_urnn.activations.oplu import OPLU

NAMES = {"modrelu": ModReLU, "oplu": OPLU}


def of_cell(identifier: Any, field: str, units: int, dtype: Any) -> Any:
    """The activation of a cell: a function of Keras, a layer, or a copy of ours.

    Raises:
        ValueError: for a name that isn't known, and for an activation of other numbers
            than the states of the cell.
    """
    if isinstance(identifier, str) and identifier in NAMES:
        identifier = NAMES[identifier](name=identifier)
    activation = keras.activations.get(identifier)
    if isinstance(activation, CellActivation):
        activation = activation.for_cell(field, units, dtype)
    linear = activation is keras.activations.linear
    if field == "complex" and not linear and _field_of(activation) != "complex":
        expected = '"modrelu", or None for the identity, where states are complex'
        advice = (
            "An activation of each real number by itself would treat the real and the "
            "imaginary part of a state as two states. A function of `[Re | Im]` of "
            'your own says that it is one by an attribute `field = "complex"`.'
        )
        raise _checks.error("activation", expected, identifier, advice)
    return activation


def _field_of(activation: Any) -> Any:
    return getattr(activation, "field", None)
