"""Activations whose derivative is a function of their value."""

from collections.abc import Callable

import keras
from keras import ops

from keras_urnn.linalg import Tensor


def _inside(
    low: float, high: float, slope: float
) -> Callable[[Tensor, Tensor], Tensor]:
    def differentiate(g: Tensor, h: Tensor) -> Tensor:
        inside = ops.logical_and(h > low, h < high)
        return ops.where(inside, slope * g, ops.zeros_like(g))

    return differentiate


# `φ'(z) g` as a function of `g` and `h = φ(z)`.
DERIVATIVES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "linear": lambda g, h: g,
    "relu": lambda g, h: ops.where(h > 0.0, g, ops.zeros_like(g)),
    "relu6": _inside(0.0, 6.0, 1.0),
    "tanh": lambda g, h: g * (1.0 - h * h),
    "sigmoid": lambda g, h: g * h * (1.0 - h),
    "hard_tanh": _inside(-1.0, 1.0, 1.0),
    "hard_sigmoid": _inside(0.0, 1.0, 1.0 / 6.0),
}


def elementwise_name(activation: Callable[[Tensor], Tensor] | None) -> str | None:
    """The key of `DERIVATIVES` of an activation, or None where there is none."""
    if activation is None:
        return "linear"
    for name in DERIVATIVES:
        if activation is keras.activations.get(name):
            return name
    return None
