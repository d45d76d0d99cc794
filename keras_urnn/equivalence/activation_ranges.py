"""Which values an activation can take on an interval."""

from typing import Any

import keras
import numpy as np

from keras_urnn.equivalence.intervals import (
    STORAGE_ROUNDOFF,
    Array,
    Interval,
    rounded,
    to_float64,
)

_ACTIVATIONS = keras.activations

# Both kinds are non-decreasing, so that the ends of the interval give the ends of the
# range. Straight pieces are computed to rounding and keep exact zeros.
PIECEWISE_LINEAR = (
    _ACTIVATIONS.linear,
    _ACTIVATIONS.relu,
    _ACTIVATIONS.relu6,
    _ACTIVATIONS.leaky_relu,
    _ACTIVATIONS.hard_tanh,
    _ACTIVATIONS.hard_sigmoid,
    _ACTIVATIONS.sparse_sigmoid,
)
# Compilers may compute these through another of them, to an absolute error.
CURVED = (
    _ACTIVATIONS.elu,
    _ACTIVATIONS.selu,
    _ACTIVATIONS.celu,
    _ACTIVATIONS.tanh,
    _ACTIVATIONS.sigmoid,
    _ACTIVATIONS.log_sigmoid,
    _ACTIVATIONS.softplus,
    _ACTIVATIONS.sparse_plus,
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


def activation_range(activation: Any, x: Interval, dtype: str) -> Interval | None:
    """Return the range of `activation` on `x` as computed in `dtype`, if known.

    The ends of `x` may be infinite; what comes out then is infinite or not a number
    where the activation is not bounded.
    """
    if activation is _ACTIVATIONS.softmax:
        return Interval.of(0.0, 1.0)
    if activation in LOWEST:
        dip = np.maximum(LOWEST[activation], x.lower)
        return Interval.of(np.minimum(dip, 0.0), np.maximum(x.upper, 0.0))
    if activation not in PIECEWISE_LINEAR + CURVED:
        return None
    nudged = rounded(x, dtype)
    image = nudged.map(lambda end: _evaluate(activation, end, dtype))
    absolute = 0.0 if activation in PIECEWISE_LINEAR else 8.0 * STORAGE_ROUNDOFF[dtype]
    return rounded(image, dtype).widen(absolute)


def _evaluate(activation: Any, x: Array, dtype: str) -> Array:
    tensor = keras.ops.convert_to_tensor(
        x, dtype="float64" if dtype == "float64" else "float32"
    )
    return to_float64(activation(tensor))
