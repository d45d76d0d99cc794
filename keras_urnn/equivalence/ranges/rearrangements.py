"""The range of layers that move, drop or repeat numbers, or insert zeros."""

import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from keras_urnn.equivalence.ranges.intervals import ZERO, Interval


def _in_place(layer: Any, x: Interval) -> Interval:
    # Whole steps are dropped or repeated: a feature stays where it is.
    return x


def _masking(layer: Any, x: Interval) -> Interval:
    return x.hull(ZERO)


def _padding(layer: Any, x: Interval) -> Interval:
    if not any(layer.padding):
        return x
    if layer.data_format == "channels_last" or x.lower.ndim == 0:
        return x.hull(ZERO)
    # The last axis is the one that is padded.
    before, behind = (ZERO.spread(steps) for steps in layer.padding)
    return Interval.concatenate(before, x, behind)


def _permute(layer: Any, x: Interval) -> Interval:
    # Each entry of another last axis can hold any of the features.
    return x if layer.dims[-1] == len(layer.dims) else x.collapse()


def _flatten(layer: Any, x: Interval) -> Interval:
    last = layer.data_format == "channels_last"
    return _reshaped(x, _width(layer)) if last else x.collapse()


def _reshape(layer: Any, x: Interval) -> Interval:
    width = layer.target_shape[-1] if layer.target_shape else None
    return _reshaped(x, width if width and width > 0 else _width(layer))


def _reshaped(x: Interval, width: int | None) -> Interval:
    """The range of numbers in the same order, cut into pieces of `width`.

    The number at place `i` is feature `i` modulo `f` and goes to place `i` modulo
    `width`. Both places are equal modulo the greatest common divisor of `f` and
    `width`, and may be any that are.
    """
    if width is None or x.lower.ndim == 0:
        return x.collapse()
    period = math.gcd(x.lower.size, width)
    lower = x.lower.reshape(-1, period).min(axis=0)
    upper = x.upper.reshape(-1, period).max(axis=0)
    repeats = width // period
    return Interval(np.tile(lower, repeats), np.tile(upper, repeats))


def _width(layer: Any) -> int | None:
    """The last dimension of the output of a layer, where its graph fixes it."""
    try:
        width: int | None = layer.output.shape[-1]
    except AttributeError:  # called on no symbolic tensor, or on several
        return None
    return width


REARRANGEMENTS: dict[type, Callable[..., Interval | None]] = {
    keras.layers.Cropping1D: _in_place,
    keras.layers.RepeatVector: _in_place,
    keras.layers.UpSampling1D: _in_place,
    keras.layers.Masking: _masking,
    keras.layers.ZeroPadding1D: _padding,
    keras.layers.Permute: _permute,
    keras.layers.Flatten: _flatten,
    keras.layers.Reshape: _reshape,
}
