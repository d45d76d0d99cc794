"""Derivatives of activations as functions of their values, in one TensorFlow operation.

With several operations each would read all numbers again, unless XLA fuses them.
"""

from collections.abc import Callable
from typing import Any

import keras

# Before the name of an activation that acts on the second half of a state only.
ON_SECOND_HALF = "identity, then "


def derivative(activation: str) -> Callable[[Any, Any], Any] | None:
    """`φ'(z) g` as a function of `g` and `h = φ(z)`, or None where there is none."""
    if keras.config.backend() != "tensorflow":
        return None
    from tensorflow import raw_ops

    derivatives: dict[str, Callable[[Any, Any], Any]] = {
        "relu": lambda g, h: raw_ops.ReluGrad(gradients=g, features=h),
        "relu6": lambda g, h: raw_ops.Relu6Grad(gradients=g, features=h),
        "tanh": lambda g, h: raw_ops.TanhGrad(y=h, dy=g),
        "sigmoid": lambda g, h: raw_ops.SigmoidGrad(y=h, dy=g),
    }
    return derivatives.get(activation)
