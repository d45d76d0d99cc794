"""Refuse activations that theorem 1 does not cover, with the nearest that it does."""

from functools import partial
from typing import Any

import keras

from keras_urnn.equivalence.ranges.activations import (
    ACTIVATIONS,
    flat_activation,
    known,
)
from keras_urnn.equivalence.refusals.targets import refusal


def check_activation(cell: Any, name: str) -> None:
    """Raise unless the activation of `cell` is constant on a half-line."""
    activation = cell.activation
    found = f"activation {_described(activation)}"
    if flat_activation(activation) is None:
        expected = "a recurrence whose activation is constant on a half-line"
        raise refusal(expected, name, found, _way_out(activation))
    is_layer = isinstance(activation, keras.Layer)
    if is_layer and activation.compute_dtype != cell.compute_dtype:
        advice = "It rounds what the cell computes; make both of one dtype."
        expected = f"a recurrence whose activation computes in {cell.compute_dtype}"
        received = f"{found} in {activation.compute_dtype}"
        raise refusal(expected, name, received, advice)


def _described(activation: Any) -> str:
    if isinstance(activation, keras.layers.ReLU):
        names = ("max_value", "negative_slope", "threshold")
        values = (f"{name}={getattr(activation, name)}" for name in names)
        return f"ReLU({', '.join(values)})"
    return str(getattr(activation, "__name__", activation))


def _way_out(activation: Any) -> str:
    if isinstance(activation, partial) or activation is keras.activations.threshold:
        return (
            "Keras can't save a function whose arguments are bound, so that neither "
            "the original nor its conversion could be saved. For a ReLU with an upper "
            "end or a threshold pass a layer: "
            "`activation=keras.layers.ReLU(max_value=..., threshold=...)`."
        )
    if activation not in ACTIVATIONS and not isinstance(activation, keras.layers.ReLU):
        return (
            "Whether this function is constant on a half-line, and where, isn't known "
            "here. Use the activation of Keras that computes the same, or "
            "`keras.layers.ReLU(max_value=..., threshold=...)`, if there is one."
        )
    nearest = " or ".join(f"'{name}'" for name in known(activation).nearest)
    return (
        "An activation that is constant on no half-line can't hold the added states "
        "still: by theorem 3 there is a contractive RNN with sigmoid activations that "
        "no unitary RNN of any finite size matches. Retrain with "
        f"`activation={nearest}`, the nearest that is, and convert that, or train a "
        "`UnitaryRNN` with this activation from the start."
    )
