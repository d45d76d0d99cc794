"""The range of a convolution over the steps.

Each output is a sum over the taps of a kernel. Near the ends of a padded sequence some
taps lie outside it and see zeros. The taps inside are consecutive, so that the range is
the hull over the runs of consecutive taps that can be inside.
"""

from collections.abc import Callable, Iterable
from typing import Any

import keras
import numpy as np

from keras_urnn.equivalence.ranges.activations import activation_range
from keras_urnn.equivalence.ranges.intervals import (
    STORAGE_ROUNDOFF,
    Array,
    Interval,
    arithmetic_dtype,
    magnitude,
    product_error,
    to_float64,
)


def _convolution(layer: Any, x: Interval) -> Interval | None:
    dtype, kernel = arithmetic_dtype(layer), to_float64(layer.kernel)
    error = product_error(dtype, kernel[..., 0].size)
    return _range(layer, x, kernel, magnitude(kernel, dtype), error)


def _depthwise(layer: Any, x: Interval) -> Interval | None:
    """A convolution in groups of one feature each."""
    dtype, kernel = arithmetic_dtype(layer), to_float64(layer.kernel)
    kernel = kernel.reshape(len(kernel), 1, -1)
    error = _depthwise_error(dtype, len(kernel))
    return _range(layer, x, kernel, magnitude(kernel, dtype), error)


def _separable(layer: Any, x: Interval) -> Interval | None:
    """One convolution, as both of its kernels together are linear."""
    dtype = arithmetic_dtype(layer)
    depthwise = to_float64(layer.depthwise_kernel)
    pointwise = to_float64(layer.pointwise_kernel)[0]

    def composed(depthwise: Array, pointwise: Array) -> Array:
        by_feature = pointwise.reshape(*depthwise.shape[1:], -1)
        return np.einsum("kim,imo->kio", depthwise, by_feature)

    sizes = composed(magnitude(depthwise, dtype), magnitude(pointwise, dtype))
    first = _depthwise_error(dtype, len(depthwise))
    second = product_error(dtype, len(pointwise))
    error = first + second + first * second
    return _range(layer, x, composed(depthwise, pointwise), sizes, error)


def _depthwise_error(dtype: str, taps: int) -> float:
    """`product_error` of a depthwise convolution: TensorFlow sums in `dtype` itself.

    A rounding for each product and one for each sum, `(1 + u)²ᵐ <= exp(2 m u)`.
    Infinite where the bound would say nothing.
    """
    exponent = 2.0 * (taps + 2) * STORAGE_ROUNDOFF[dtype]
    summed = float(np.expm1(exponent)) if exponent <= 1.0 else np.inf
    return product_error(dtype, taps) + summed


def _range(
    layer: Any, x: Interval, kernel: Array, sizes: Array, error: float
) -> Interval | None:
    """The range of a layer that convolves with a kernel, adds a bias, and activates.

    Args:
        layer: convolutional layer.
        x: range of its inputs.
        kernel: array of shape `(taps, features of a group, channels)`.
        sizes: `|kernel|`, for the rounding error.
        error: rounding error relative to the sum of the sizes of the terms.
    """
    if not np.isfinite(error):
        return None
    last = layer.data_format == "channels_last"
    x = (x if last else x.collapse()).spread(_features(layer))
    bias = to_float64(layer.bias) if layer.use_bias else np.zeros(kernel.shape[-1])
    exact = _inside(_of_taps(x, kernel), *_outside(layer)) + Interval(bias, bias)
    terms = _sums(x.largest, sizes).sum(axis=0) + np.abs(bias)
    output = exact.widen(error * terms)
    found = activation_range(layer.activation, output, arithmetic_dtype(layer))
    return found if last or found is None else found.collapse()


def _features(layer: Any) -> int:
    axis = -1 if layer.data_format == "channels_last" else 1
    return int(layer.input_spec.axes[axis])


def _of_taps(x: Interval, kernel: Array) -> Interval:
    """The range of the term of each tap, of shape `(taps, channels)`."""
    positive, negative = np.maximum(kernel, 0.0), np.minimum(kernel, 0.0)
    return Interval(
        _sums(x.lower, positive) + _sums(x.upper, negative),
        _sums(x.upper, positive) + _sums(x.lower, negative),
    )


def _sums(x: Array, kernel: Array) -> Array:
    """`x @ kernel` for each tap; a channel sees the features of its group."""
    taps, features, channels = kernel.shape
    by_group = kernel.reshape(taps, features, x.size // features, -1)
    sums = np.einsum("gi,kigo->kgo", x.reshape(-1, features), by_group)
    return sums.reshape(taps, channels)


def _outside(layer: Any) -> tuple[Iterable[int], int]:
    """How many taps can lie before the sequence, each of them, and at most behind it.

    A tap outside is in the padding, and the taps are `dilation` steps apart: of `p`
    steps of padding no more than `p / dilation`, rounded up, hold one.
    """
    if layer.padding == "valid":
        return [0], 0
    taps, dilation = layer.kernel_size[0], layer.dilation_rate[0]
    if layer.padding == "causal":
        # All but the last at the first output, a stride less at each that follows.
        # (With strides there is no dilation.)
        return [*range(taps - 1, 0, -layer.strides[0]), 0], 0
    # "same" pads by this in all, or by less, and puts the smaller half in front.
    reach = (taps - 1) * dilation
    before, behind = reach // 2, reach - reach // 2
    return range(-(-before // dilation) + 1), -(-behind // dilation)


def _inside(taps: Interval, before: Iterable[int], behind: int) -> Interval:
    """The hull of the sums over the runs of taps inside the sequence."""
    count, parts = len(taps.lower), []
    nothing = np.zeros_like(taps.lower[:1])
    for first in before:
        fewest = max(count - behind - first, 0)
        lower, upper = (
            np.concatenate([nothing, np.cumsum(ends[first:], axis=0)])[fewest:]
            for ends in (taps.lower, taps.upper)
        )
        parts.append(Interval(lower.min(axis=0), upper.max(axis=0)))
    return parts[0].hull(*parts[1:])


CONVOLUTIONS: dict[type, Callable[..., Interval | None]] = {
    keras.layers.Conv1D: _convolution,
    keras.layers.DepthwiseConv1D: _depthwise,
    keras.layers.SeparableConv1D: _separable,
}
