"""Climb, by the gradient, to the inputs within a bound where a number is largest."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from keras import ops

from keras_urnn import _backend
from keras_urnn.equivalence.ranges.intervals import Array, Interval, to_float64

# Each goes half as far as the one before: all of the range, a half, a quarter, ...
STEPS = 8


def climb(
    gradient: Callable[[list[Array]], Sequence[Array]],
    inputs: Sequence[Array],
    ranges: Sequence[Interval],
) -> list[Array]:
    """Climb from `inputs` to where a number is larger.

    Projected ascent by the sign of the gradient: each input of each step moves towards
    the end of its range in whose direction the number grows.

    Args:
        gradient: function from a list of inputs to the gradient by each of them.
        inputs: one array per input, floating point.
        ranges: the range of each of them.

    Returns:
        The inputs reached, as arrays of the same shapes and dtypes.
    """
    reached = list(inputs)
    for step in range(STEPS):
        slopes = gradient(reached)
        reached = [
            _moved(x, slope, interval, 2.0**-step)
            for x, slope, interval in zip(reached, slopes, ranges, strict=True)
        ]
    return reached


def most_different(
    first: Callable[[list[Any]], Any],
    second: Callable[[list[Any]], Any],
    inputs: Sequence[Array],
    ranges: Sequence[Interval],
) -> list[Array]:
    """Climb to where the outputs of two networks differ most: `Σ |y - y'|²`.

    Args:
        first: function from a list of input tensors to a list of output tensors.
        second: the same for the other network.
        inputs: one array per input, floating point.
        ranges: the range of each of them.

    Returns:
        The inputs reached, as arrays of the same shapes and dtypes.
    """

    def difference(tensors: list[Any]) -> Any:
        pairs = zip(first(tensors), second(tensors), strict=True)
        return sum(ops.sum(ops.square(y - other)) for y, other in pairs)

    by_tensors = _backend.gradients(difference)

    def gradient(reached: list[Array]) -> list[Array]:
        tensors = [ops.convert_to_tensor(x, dtype=x.dtype) for x in reached]
        return [to_float64(slope) for slope in by_tensors(tensors)]

    return climb(gradient, inputs, ranges)


def _moved(x: Array, slope: Array, interval: Interval, share: float) -> Array:
    step = share * (interval.upper - interval.lower) * np.sign(slope)
    return np.clip(x + step, interval.lower, interval.upper).astype(x.dtype)
