"""The range of pooling over the steps."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from keras_urnn.equivalence.ranges.intervals import (
    STORAGE_ROUNDOFF,
    Interval,
    arithmetic_dtype,
    averaging_dtype,
)


def mean(x: Interval, terms: int, dtype: str) -> Interval | None:
    """The range of the average of `terms` numbers in `x`, summed in `dtype`."""
    # A rounding for each term of the sum and one for its weight, in any order:
    # (1 + u)²ᵐ <= exp(2 m u). Beyond exp(1) the bound would say nothing.
    exponent = 2.0 * terms * STORAGE_ROUNDOFF[dtype]
    return x.widen(np.expm1(exponent) * x.largest) if exponent <= 1.0 else None


def _largest(layer: Any, x: Interval) -> Interval:
    # A maximum is one of the numbers. Where "same" pads, it pads with none that could
    # be the largest (TensorFlow, JAX), or repeats the steps at the ends (PyTorch).
    return _by_channel(layer, x)


def _average(layer: Any, x: Interval) -> Interval | None:
    # An average is between the numbers. What "same" pads with isn't counted, or is a
    # step at an end, repeated (PyTorch).
    return mean(_by_channel(layer, x), layer.pool_size[0], arithmetic_dtype(layer))


def _average_of_all(layer: Any, x: Interval) -> Interval | None:
    steps = _steps(layer)
    if steps is None:
        return None
    return mean(_by_channel(layer, x), steps, averaging_dtype(layer))


def _by_channel(layer: Any, x: Interval) -> Interval:
    return x if layer.data_format == "channels_last" else x.collapse()


def _steps(layer: Any) -> int | None:
    """The number of steps of the input of a layer, where its graph fixes it."""
    try:
        shape = layer.input.shape
    except AttributeError:  # never called on a symbolic tensor
        return None
    return shape[1] if layer.data_format == "channels_last" else shape[2]


POOLING: dict[type, Callable[..., Interval | None]] = {
    keras.layers.MaxPooling1D: _largest,
    keras.layers.GlobalMaxPooling1D: _largest,
    keras.layers.AveragePooling1D: _average,
    keras.layers.GlobalAveragePooling1D: _average_of_all,
}
