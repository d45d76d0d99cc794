"""Activations that are constant on a half-line: they can hold an added state."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import keras
import numpy as np

from keras_urnn.equivalence.ranges.intervals import to_float64

_ACTIVATIONS = keras.activations


@dataclass(frozen=True)
class FlatActivation:
    """What the conversion needs to know of an activation `φ`.

    It is constant on a half-line, `φ(z) = value` where `side z >= side edge`, exactly
    so as computed. With `κ = excess` it grows no faster than the identity,

        |φ(z)| <= |z| + κ,    φ(z) <= max(z, 0) + κ.

    Where there are two half-lines this is the one with value 0, if any, and the lower.

    Attributes:
        side: integer. -1 where the half-line reaches down, 1 where it reaches up.
        edge: float. Where it ends; the edge itself belongs to it.
        value: float. The constant `c`. Defaults to `0.0`.
        excess: float. `κ`, at least 0. Defaults to `0.0`.
        slope: float. The largest `|φ(y) - φ(z)| / |y - z|`; infinite where `φ` jumps.
            Defaults to `1.0`.
        homogeneous: bool. Whether `φ(d z) = d φ(z)` for all `d > 0`. Defaults to
            `False`.
    """

    side: int
    edge: float
    value: float = 0.0
    excess: float = 0.0
    slope: float = 1.0
    homogeneous: bool = False


FLAT_ACTIVATIONS = {
    _ACTIVATIONS.relu: FlatActivation(-1, 0.0, homogeneous=True),
    _ACTIVATIONS.relu6: FlatActivation(-1, 0.0),
    # (z + 3) / 6 between -3 and 3
    _ACTIVATIONS.hard_sigmoid: FlatActivation(-1, -3.0, excess=0.5, slope=1.0 / 6.0),
    _ACTIVATIONS.hard_tanh: FlatActivation(-1, -1.0, value=-1.0),
    # (z + 1) / 2 and (z + 1)² / 4 between -1 and 1
    _ACTIVATIONS.sparse_sigmoid: FlatActivation(-1, -1.0, excess=0.5, slope=0.5),
    _ACTIVATIONS.sparse_plus: FlatActivation(-1, -1.0, excess=0.25),
    # z hard_sigmoid(z): it falls to -3/8, and is steepest just below 3
    _ACTIVATIONS.hard_silu: FlatActivation(-1, -3.0, slope=1.5),
}


def flat_activation(activation: Any) -> FlatActivation | None:
    """What is known of `activation`; `None` where it is constant on no half-line.

    Args:
        activation: one of Keras' functions, or a `keras.layers.ReLU`, which is how a
            cell is given a ReLU with `max_value`, `threshold` or `negative_slope`:
            Keras can't save a function whose arguments are bound.
    """
    if type(activation) is keras.layers.ReLU:
        return _of_a_layer(activation)
    return FLAT_ACTIVATIONS.get(activation)


def _of_a_layer(relu: Any) -> FlatActivation | None:
    slope, threshold = float(relu.negative_slope), _as_computed(relu.threshold, relu)
    steepest = np.inf if threshold > 0.0 else max(1.0, slope)
    if slope == 0.0:
        whole = threshold == 0.0 and relu.max_value is None
        return FlatActivation(-1, threshold, slope=steepest, homogeneous=whole)
    if relu.max_value is None or slope > 1.0:
        return None  # beyond a slope of 1 it grows faster than the identity
    largest = _as_computed(relu.max_value, relu)
    if largest <= threshold:
        return None  # the half-line begins at a jump, and without its edge
    excess = slope * threshold
    return FlatActivation(1, largest, value=largest, excess=excess, slope=steepest)


class ReluNumbers(NamedTuple):
    """The numbers of a `keras.layers.ReLU`; `max_value` may be `None`."""

    max_value: float | None
    negative_slope: float
    threshold: float


def numbers_of(relu: Any) -> ReluNumbers:
    """The numbers of a `keras.layers.ReLU`, rounded to what it computes with."""
    top = relu.max_value
    return ReluNumbers(
        None if top is None else _as_computed(top, relu),
        _as_computed(relu.negative_slope, relu),
        _as_computed(relu.threshold, relu),
    )


def _as_computed(number: float, layer: Any) -> float:
    # As Keras' own: TensorFlow reads Python's numbers as float32, float64 or not.
    return float(to_float64(keras.ops.cast([number], layer.compute_dtype))[0])
