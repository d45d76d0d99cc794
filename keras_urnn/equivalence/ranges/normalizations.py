"""The range of a normalization."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from keras_urnn.equivalence.ranges.intervals import (
    SMALLEST_NORMAL,
    STORAGE_ROUNDOFF,
    Interval,
    arithmetic_dtype,
    averaging_dtype,
    rounded,
    to_float64,
)


def _normalization(layer: Any, x: Interval) -> Interval | None:
    """`(x - mean) / deviation`, or its inverse: increasing in each number.

    Mean and variance are those that the layer computes with, in a row for each entry
    of the other axes that they are kept for. A feature meets each row: the hull.
    """
    mean, variance = (
        to_float64(part).reshape(-1, part.shape[-1])
        for part in (layer.mean, layer.variance)
    )
    dtype, epsilon = arithmetic_dtype(layer), keras.config.epsilon()
    # What is below the normal numbers may be flushed to 0, epsilon in float16, too.
    smallest = SMALLEST_NORMAL[dtype]
    if not np.all(variance >= (0.0 if epsilon >= smallest else smallest)):
        return None
    deviation = np.maximum(np.sqrt(variance), epsilon)
    # The terms may cancel, so the slack goes with their sizes.
    unit = 8.0 * STORAGE_ROUNDOFF[dtype]
    if layer.invert:
        found = x.map(lambda end: mean + end * deviation)
        found = found.widen(unit * (x.largest * deviation + np.abs(mean)))
    else:
        found = x.map(lambda end: (end - mean) / deviation)
        found = found.widen(unit * (x.largest + np.abs(mean)) / deviation)
    hull = Interval(found.lower.min(axis=0), found.upper.max(axis=0))
    one_for_all = x.lower.ndim == 0 and mean.shape[-1] == 1
    return hull.collapse() if one_for_all else hull


def _batch_normalization(layer: Any, x: Interval) -> Interval | None:
    if layer.axis != -1:
        return None
    variance = to_float64(layer.moving_variance)
    gamma = to_float64(layer.gamma) if layer.scale else 1.0
    scale = gamma / np.sqrt(variance + layer.epsilon)
    mean = Interval.of(*2 * [to_float64(layer.moving_mean) * scale])
    beta = Interval.of(*2 * [to_float64(layer.beta) if layer.center else 0.0])
    product = x * Interval.of(scale, scale)
    # The terms may cancel, so the slack goes with their sizes.
    terms = product.largest + mean.largest + beta.largest
    slack = 8.0 * STORAGE_ROUNDOFF[averaging_dtype(layer)] * terms
    return (product - mean + beta).widen(slack)


def _layer_normalization(layer: Any, x: Interval) -> Interval | None:
    """`|x̂| <= sqrt(m - 1)` over the `m` values that are normalized together.

    Backends may compute the variance as a difference of two large numbers, off by
    `error`; where that exceeds epsilon, `x̂²` can be too large by their ratio.
    """
    if layer.rms_scaling or not (layer.scale or layer.center):
        return None  # x keeps its mean; m isn't known
    gamma = to_float64(layer.gamma) if layer.scale else np.ones(layer.beta.shape)
    beta = to_float64(layer.beta) if layer.center else np.zeros(gamma.shape)
    dtype, epsilon = averaging_dtype(layer), float(layer.epsilon)
    unit = STORAGE_ROUNDOFF[dtype]
    largest = float(x.largest.max())
    error = 8.0 * (gamma.size + 8) * unit * largest**2
    bound = np.sqrt((gamma.size - 1) * max(1.0, error / epsilon))
    normalized = bound + 8.0 * unit * largest / np.sqrt(epsilon)
    spread = np.abs(gamma) * normalized
    output = rounded(Interval.of(beta - spread, beta + spread), dtype)
    return output if gamma.ndim == 1 and layer.axis in (-1, [-1]) else output.collapse()


NORMALIZATIONS: dict[type, Callable[..., Interval | None]] = {
    keras.layers.Normalization: _normalization,
    keras.layers.BatchNormalization: _batch_normalization,
    keras.layers.LayerNormalization: _layer_normalization,
}
