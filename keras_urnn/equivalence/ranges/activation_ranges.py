"""Rules for the values that an activation can take on an interval.

A rule is a function of an `Interval` and a compute dtype. The ends of the interval may
be infinite; those of the range then are infinite, or not a number, where the activation
is not bounded.
"""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from keras_urnn.equivalence.ranges.intervals import (
    STORAGE_ROUNDOFF,
    Array,
    Interval,
    rounded,
    to_float64,
)

Function = Callable[[Array], Array]
RangeRule = Callable[[Interval, str], Interval]


def exact(value: Function) -> RangeRule:
    """The range of a non-decreasing activation whose computation rounds nothing."""
    return lambda x, dtype: x.map(value)


def rounding(value: Function) -> RangeRule:
    """The range of a non-decreasing one of straight and quadratic pieces.

    Such an activation is computed up to a relative error, and keeps exact zeros.
    """
    return lambda x, dtype: rounded(rounded(x, dtype).map(value), dtype)


def curved(activation: Any) -> RangeRule:
    """The range of a non-decreasing one that is computed up to an absolute error.

    A compiler may compute it through another function. The backend evaluates it.
    """

    def image(x: Interval, dtype: str) -> Interval:
        ends = rounded(x, dtype).map(lambda end: _evaluate(activation, end, dtype))
        return rounded(ends, dtype).widen(8.0 * STORAGE_ROUNDOFF[dtype])

    return image


def dipping(lowest: float) -> RangeRule:
    """The range of an activation that falls below 0 and then rises.

    With `φ(0) = 0`, `|φ(z)| <= |z|` and `φ(z) >= lowest`.
    """

    def image(x: Interval, dtype: str) -> Interval:
        dip = np.maximum(lowest, x.lower)
        hump = Interval.of(np.minimum(dip, 0.0), np.maximum(x.upper, 0.0))
        return rounded(hump, dtype)

    return image


def between(lower: float, upper: float) -> RangeRule:
    """The range of an activation of which only its bounds are known."""
    return lambda x, dtype: Interval.of(lower, upper)


def _evaluate(activation: Any, x: Array, dtype: str) -> Array:
    tensor = keras.ops.convert_to_tensor(
        x, dtype="float64" if dtype == "float64" else "float32"
    )
    return to_float64(activation(tensor))
