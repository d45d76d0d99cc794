"""Which values an activation can take on an interval."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from keras_urnn.equivalence.ranges.flat_activations import numbers_of
from keras_urnn.equivalence.ranges.intervals import (
    STORAGE_ROUNDOFF,
    Array,
    Interval,
    rounded,
    to_float64,
)

_ACTIVATIONS = keras.activations

# Non-decreasing, as the curved ones below: the ends of an interval give the ends of
# the range. These round nothing.
EXACT: dict[Any, Callable[[Array], Array]] = {
    _ACTIVATIONS.linear: lambda x: x,
    _ACTIVATIONS.relu: lambda x: np.maximum(x, 0.0),
    _ACTIVATIONS.relu6: lambda x: np.clip(x, 0.0, 6.0),
    _ACTIVATIONS.hard_tanh: lambda x: np.clip(x, -1.0, 1.0),
}
# Straight and quadratic pieces are computed to rounding and keep exact zeros.
PIECEWISE: dict[Any, Callable[[Array], Array]] = {
    _ACTIVATIONS.leaky_relu: lambda x: np.maximum(x, 0.2 * x),
    _ACTIVATIONS.hard_sigmoid: lambda x: np.clip(x + 3.0, 0.0, 6.0) / 6.0,
    _ACTIVATIONS.sparse_sigmoid: lambda x: np.clip(0.5 * (x + 1.0), 0.0, 1.0),
    _ACTIVATIONS.sparse_plus: lambda x: np.where(
        x < 1.0, 0.25 * np.maximum(x + 1.0, 0.0) ** 2, x
    ),
}
# Compilers may compute these through another of them, to an absolute error.
CURVED = (
    _ACTIVATIONS.elu,
    _ACTIVATIONS.selu,
    _ACTIVATIONS.celu,
    _ACTIVATIONS.tanh,
    _ACTIVATIONS.sigmoid,
    _ACTIVATIONS.log_sigmoid,
    _ACTIVATIONS.softplus,
    _ACTIVATIONS.squareplus,
    _ACTIVATIONS.softsign,
    _ACTIVATIONS.exponential,
)
# Falling, then rising: `|φ(z)| <= |z|`, 0 at 0, and never below this number
# (rounded down in the third digit).
LOWEST = {
    _ACTIVATIONS.silu: -0.279,
    _ACTIVATIONS.gelu: -0.171,
    _ACTIVATIONS.mish: -0.309,
    _ACTIVATIONS.hard_silu: -0.376,
}


REAL_LINE = Interval.of(-np.inf, np.inf)


def activation_range(activation: Any, x: Interval, dtype: str) -> Interval | None:
    """Return the range of `activation` on `x` as computed in `dtype`, if known.

    The ends of `x` may be infinite; what comes out then is infinite or not a number
    where the activation is not bounded.
    """
    if activation is _ACTIVATIONS.softmax:
        return Interval.of(0.0, 1.0)
    if type(activation) is keras.layers.ReLU:
        return _of_a_layer(activation, x, dtype)
    if activation in EXACT:
        return x.map(EXACT[activation])
    if activation in LOWEST:
        dip = np.maximum(LOWEST[activation], x.lower)
        hump = Interval.of(np.minimum(dip, 0.0), np.maximum(x.upper, 0.0))
        return rounded(hump, dtype)
    nudged = rounded(x, dtype)
    if activation in PIECEWISE:
        return rounded(nudged.map(PIECEWISE[activation]), dtype)
    if activation not in CURVED:
        return None
    image = rounded(nudged.map(lambda end: _evaluate(activation, end, dtype)), dtype)
    return image.widen(8.0 * STORAGE_ROUNDOFF[dtype])


def evaluation_error(activation: Any, dtype: str) -> float:
    """Bound how far rounding carries `φ(z)`, relative to `1 + |φ(z)|`."""
    return 0.0 if activation in EXACT else 16.0 * STORAGE_ROUNDOFF[dtype]


def _of_a_layer(relu: Any, x: Interval, dtype: str) -> Interval:
    coarser = max(dtype, relu.compute_dtype, key=STORAGE_ROUNDOFF.__getitem__)
    x = rounded(x, coarser)
    given = (relu.max_value, relu.negative_slope, relu.threshold)
    # Some of these numbers are rounded where the layer computes with them.
    found = _of_a_relu(x, *given).hull(_of_a_relu(x, *numbers_of(relu)))
    return rounded(found, coarser)


def _of_a_relu(
    x: Interval, max_value: float | None, slope: float, threshold: float
) -> Interval:
    # Above the threshold the value, below it a slope from 0: there may be a jump.
    kept = x.map(lambda end: np.clip(end, threshold, max_value))
    if not np.any(x.lower < threshold):
        return kept
    if slope == 0.0:
        return kept.hull(Interval.of(0.0, 0.0))
    return kept.hull(x.map(lambda end: slope * np.minimum(end - threshold, 0.0)))


def _evaluate(activation: Any, x: Array, dtype: str) -> Array:
    tensor = keras.ops.convert_to_tensor(
        x, dtype="float64" if dtype == "float64" else "float32"
    )
    return to_float64(activation(tensor))
