"""Intervals per feature, and how far rounding can carry a value out of them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

MACHINE_EPSILON = {
    "float64": 2.0**-52,
    "float32": 2.0**-23,
    "bfloat16": 2.0**-7,
    "float16": 2.0**-10,
}
# The largest relative change when one number is rounded on its way into a product.
# float32 products may run in TF32 on a GPU (10 bits kept, the rest cut off).
PRODUCT_ROUNDOFF = {
    "float64": 2.0**-53,
    "float32": 2.0**-10,
    "bfloat16": 2.0**-8,
    "float16": 2.0**-11,
}
# The same when a result is stored.
STORAGE_ROUNDOFF = {**PRODUCT_ROUNDOFF, "float32": 2.0**-24}
# Below the smallest normal number rounding is no longer relative, and backends may
# flush to 0.
SMALLEST_NORMAL = {
    "float64": 2.0**-1022,
    "float32": 2.0**-126,
    "bfloat16": 2.0**-126,
    "float16": 2.0**-14,
}
LARGEST = {
    "float64": (2.0 - 2.0**-52) * 2.0**1023,
    "float32": (2.0 - 2.0**-23) * 2.0**127,
    "bfloat16": (2.0 - 2.0**-7) * 2.0**127,
    "float16": (2.0 - 2.0**-10) * 2.0**15,
}


@dataclass(frozen=True, eq=False)
class Interval:
    """The values a tensor can take: `lower <= x <= upper`, per feature.

    Attributes:
        lower: float64 array, of shape `(features,)` for the last axis of the tensor,
            or `()` where one bound holds for all of it.
        upper: float64 array of the same shape.
    """

    lower: Array
    upper: Array

    @classmethod
    def of(cls, lower: ArrayLike, upper: ArrayLike) -> "Interval":
        """Make an interval from numbers or arrays that broadcast together."""
        low, high = np.broadcast_arrays(
            np.asarray(lower, dtype=np.float64), np.asarray(upper, dtype=np.float64)
        )
        return cls(low, high)

    @property
    def largest(self) -> Array:
        """The largest |x| per feature."""
        return np.maximum(np.abs(self.lower), np.abs(self.upper))

    def spread(self, features: int) -> "Interval":
        """The same bounds, written out for `features` features."""
        shape = (features,)
        return Interval(
            np.broadcast_to(self.lower, shape), np.broadcast_to(self.upper, shape)
        )

    def collapse(self) -> "Interval":
        """One bound for all features."""
        return Interval.of(self.lower.min(), self.upper.max())

    @staticmethod
    def concatenate(*parts: "Interval") -> "Interval":
        """The bounds of features put side by side."""
        return Interval(
            np.concatenate([part.lower for part in parts]),
            np.concatenate([part.upper for part in parts]),
        )

    def hull(self, *others: "Interval") -> "Interval":
        """The smallest interval that holds this one and the others."""
        lower, upper = self.lower, self.upper
        for other in others:
            lower = np.minimum(lower, other.lower)
            upper = np.maximum(upper, other.upper)
        return Interval.of(lower, upper)

    def map(self, function: Callable[[Any], Any]) -> "Interval":
        """The image under a non-decreasing function."""
        return Interval.of(function(self.lower), function(self.upper))

    def linear(self, kernel: Array) -> "Interval":
        """The range of `x @ kernel`, attained at the corners."""
        spread = self.spread(len(kernel))
        positive, negative = np.maximum(kernel, 0.0), np.minimum(kernel, 0.0)
        return Interval(
            spread.lower @ positive + spread.upper @ negative,
            spread.upper @ positive + spread.lower @ negative,
        )

    def __add__(self, other: "Interval") -> "Interval":
        return Interval.of(self.lower + other.lower, self.upper + other.upper)

    def __sub__(self, other: "Interval") -> "Interval":
        return Interval.of(self.lower - other.upper, self.upper - other.lower)

    def __mul__(self, other: "Interval") -> "Interval":
        corners = [
            a * b for a in (self.lower, self.upper) for b in (other.lower, other.upper)
        ]
        return Interval.of(np.min(corners, axis=0), np.max(corners, axis=0))

    def widen(self, slack: Array | float) -> "Interval":
        """Move both ends outwards by `slack >= 0`."""
        return Interval.of(self.lower - slack, self.upper + slack)


def to_float64(variable: Any) -> Array:
    """A Keras variable or tensor as a float64 NumPy array."""
    return np.asarray(keras.ops.convert_to_numpy(variable), dtype=np.float64)


REAL_LINE = Interval.of(-np.inf, np.inf)
ZERO = Interval.of(0.0, 0.0)
ONE = Interval.of(1.0, 1.0)


def arithmetic_dtype(layer: Any) -> str:
    """The dtype that one of Keras' own layers or cells computes in.

    On PyTorch `keras.ops.matmul` and others turn float64 into float32. Our cells don't
    use them there, so that their compute dtype is the one of their policy.
    """
    if keras.config.backend() == "torch" and layer.compute_dtype == "float64":
        return "float32"
    return str(layer.compute_dtype)


def averaging_dtype(layer: Any) -> str:
    """The dtype that Keras' layers normalize in, and average over all steps.

    For layers of dtype float64 it is float32 on JAX, too: `keras.ops.mean` and the
    normalizations cast to `keras.backend.result_type`, which never has 64 bits.
    """
    if keras.config.backend() == "jax" and layer.compute_dtype == "float64":
        return "float32"
    return arithmetic_dtype(layer)


def as_stored(array: Array, dtype: str) -> Array:
    """The numbers that a variable of `dtype` holds once `array` is assigned to it."""
    if dtype == "float64":
        return array
    single = keras.ops.convert_to_tensor(array.astype("float32"))
    return to_float64(keras.ops.cast(single, dtype))


def symmetric(bound: ArrayLike) -> Interval:
    """The interval `|x| <= bound`."""
    largest = np.asarray(bound, dtype=np.float64)
    return Interval.of(-largest, largest)


def magnitude(kernel: Array, dtype: str) -> Array:
    """`|kernel|`, no entry below the numbers whose rounding is relative."""
    return np.maximum(np.abs(kernel), SMALLEST_NORMAL[dtype])


def product_error(dtype: str, terms: int) -> float:
    """Relative rounding error of a product `x @ kernel` with `terms` terms.

    It multiplies `|x| @ magnitude(kernel)`. Both factors are rounded when they enter
    the product, and the result when it is stored and added to; the sum is formed in
    at least float32 on every backend. The fourth unit covers the products of these.
    """
    accumulation = STORAGE_ROUNDOFF["float64" if dtype == "float64" else "float32"]
    return 4.0 * PRODUCT_ROUNDOFF[dtype] + 2.0 * (terms + 2) * accumulation


def round_down(x: Array, dtype: str) -> Array:
    """The largest numbers of `dtype` that are at most `x`, in float64."""
    mantissa, exponent = np.frexp(x)
    digits = 2.0 / MACHINE_EPSILON[dtype]
    return np.ldexp(np.floor(mantissa * digits) / digits, exponent)


def rounded(interval: Interval, dtype: str) -> Interval:
    """Widen by the rounding of storage and of an elementwise function.

    By eight units in the last place: the functions of the backends are accurate to a
    few units, and keep exact zeros.
    """
    unit = 8.0 * STORAGE_ROUNDOFF[dtype]
    return Interval(
        interval.lower - unit * np.abs(interval.lower),
        interval.upper + unit * np.abs(interval.upper),
    )


def unscaled(scaled: Interval, d: Array, dtype: str) -> Interval:
    """The range of `h` as computed in `dtype`, given that of `h∘d`."""
    return rounded(Interval(scaled.lower / d, scaled.upper / d), dtype)


def affine(
    entering: Interval, kernel: Array, bias: Array | float, dtype: str
) -> Interval:
    """The range of `x @ kernel + bias` as computed in `dtype`."""
    exact = entering.linear(kernel) + Interval.of(bias, bias)
    x = entering.spread(len(kernel)).largest
    terms = x @ magnitude(kernel, dtype) + np.abs(bias)
    return exact.widen(product_error(dtype, len(kernel)) * terms)
