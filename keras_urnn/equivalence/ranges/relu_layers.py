"""What is known of a `keras.layers.ReLU`, of any arguments, as an activation.

That is how a cell is given a ReLU with `max_value`, `threshold` or `negative_slope`:
Keras can't save a function whose arguments are bound.
"""

from typing import Any, NamedTuple

import keras
import numpy as np

from keras_urnn.equivalence.ranges.flat_activations import FlatActivation
from keras_urnn.equivalence.ranges.intervals import (
    STORAGE_ROUNDOFF,
    Interval,
    rounded,
    to_float64,
)


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


def relu_range(relu: Any, x: Interval, dtype: str) -> Interval:
    """The range of the layer on `x` in a cell or layer that computes in `dtype`."""
    coarser = max(dtype, relu.compute_dtype, key=STORAGE_ROUNDOFF.__getitem__)
    x = rounded(x, coarser)
    given = (relu.max_value, relu.negative_slope, relu.threshold)
    # Some of these numbers are rounded where the layer computes with them.
    found = _range_with(x, *given).hull(_range_with(x, *numbers_of(relu)))
    return rounded(found, coarser)


def _range_with(
    x: Interval, max_value: float | None, slope: float, threshold: float
) -> Interval:
    # Above the threshold the value, below it a slope from 0: there may be a jump.
    kept = x.map(lambda end: np.clip(end, threshold, max_value))
    if not np.any(x.lower < threshold):
        return kept
    if slope == 0.0:
        return kept.hull(Interval.of(0.0, 0.0))
    return kept.hull(x.map(lambda end: slope * np.minimum(end - threshold, 0.0)))


def relu_half_line(relu: Any) -> FlatActivation | None:
    """The half-line on which the layer is constant, if there is one."""
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
