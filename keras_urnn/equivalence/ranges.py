"""Which values the output of a layer can take, given those of its inputs.

A table from layer type to rule. A rule returns an `Interval` per feature (last axis)
that holds every value the layer computes at inference, rounding in its compute dtype
included, or `None` where it can't tell. A type without a rule can't be told either,
nor can a subclass of one that has: it may compute something else.

Inference means that dropout and noise do nothing and that batch normalization uses
its moving averages.
"""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from keras_urnn.equivalence.activation_ranges import activation_range
from keras_urnn.equivalence.intervals import (
    ONE,
    STORAGE_ROUNDOFF,
    ZERO,
    Interval,
    affine,
    arithmetic_dtype,
    rounded,
    to_float64,
)
from keras_urnn.equivalence.recurrent_ranges import Starts, recurrent_ranges

Rule = Callable[..., Interval | None]
RULES: dict[type, Rule] = {}


def layer_ranges(
    layer: Any,
    entering: Sequence[Interval],
    horizon: int | None = None,
    starts: Starts | None = None,
) -> list[Interval | None]:
    """Return a range for each output of `layer`, or one for all; `None` if not known.

    Args:
        layer: built Keras layer.
        entering: one `Interval` per input tensor; initial states are none.
        horizon: integer or `None`. The largest number of steps that recurrent layers
            make, for those that are bounded over a finite time only.
        starts: as for `recurrent_ranges`. Defaults to `None`, the states at rest.
    """
    if arithmetic_dtype(layer) not in STORAGE_ROUNDOFF:
        return [None]  # integers: what rounding, or wrapping around, does isn't known
    if isinstance(layer, keras.layers.RNN | keras.layers.Bidirectional):
        found = recurrent_ranges(layer, entering[0], horizon, starts)
    else:
        rule = RULES.get(type(layer))
        found = [rule(layer, *entering) if rule else None]
    return [_finite(interval, layer) for interval in found]


def _finite(found: Interval | None, layer: Any) -> Interval | None:
    if found is None:
        return None
    found = rounded(found, arithmetic_dtype(layer))
    return found if np.all(np.isfinite(found.largest)) else None


def _rule(*names: str) -> Callable[[Rule], Rule]:
    def register(rule: Rule) -> Rule:
        RULES.update({getattr(keras.layers, name): rule for name in names})
        return rule

    return register


@_rule(
    "InputLayer",
    "Identity",
    "ActivityRegularization",
    "Dropout",
    "AlphaDropout",
    "GaussianDropout",
    "GaussianNoise",
    "SpatialDropout1D",
    "RepeatVector",
    "UpSampling1D",
    "Cropping1D",
)
def _same(layer: Any, x: Interval) -> Interval:
    return x


@_rule("Masking", "ZeroPadding1D")
def _with_zero(layer: Any, x: Interval) -> Interval:
    return x.hull(ZERO)


@_rule("Flatten", "Reshape", "Permute")
def _any_order(layer: Any, x: Interval) -> Interval:
    return x.collapse()


def _by_channel(layer: Any, x: Interval) -> Interval:
    return x if layer.data_format == "channels_last" else x.collapse()


def _mean(layer: Any, x: Interval, terms: int) -> Interval | None:
    # A rounding for each term of the sum and one for its weight, in any order:
    # (1 + u)²ᵐ <= exp(2 m u). Beyond exp(1) the bound would say nothing.
    exponent = 2.0 * terms * STORAGE_ROUNDOFF[arithmetic_dtype(layer)]
    return x.widen(np.expm1(exponent) * x.largest) if exponent <= 1.0 else None


@_rule("GlobalMaxPooling1D")
def _global_max_pooling(layer: Any, x: Interval) -> Interval:
    return _by_channel(layer, x)


@_rule("GlobalAveragePooling1D")
def _global_average_pooling(layer: Any, x: Interval) -> Interval | None:
    steps = _steps(layer)
    return None if steps is None else _mean(layer, _by_channel(layer, x), steps)


def _steps(layer: Any) -> int | None:
    """The length of what enters a layer, where the graph it is in fixes it."""
    try:
        shape = layer.input.shape
    except AttributeError:  # never called on a symbolic tensor
        return None
    return shape[1] if layer.data_format == "channels_last" else shape[2]


@_rule("AveragePooling1D")
def _average_pooling(layer: Any, x: Interval) -> Interval | None:
    return _mean(layer, _pooled(layer, x), int(np.prod(layer.pool_size)))


@_rule("MaxPooling1D")
def _max_pooling(layer: Any, x: Interval) -> Interval:
    return _pooled(layer, x)


def _pooled(layer: Any, x: Interval) -> Interval:
    # "same" pads, and what with differs between backends.
    pooled = _by_channel(layer, x)
    return pooled.hull(ZERO) if layer.padding == "same" else pooled


@_rule("Dense")
def _dense(layer: Any, x: Interval) -> Interval | None:
    bias = to_float64(layer.bias) if layer.use_bias else 0.0
    output = affine(x, to_float64(layer.kernel), bias, arithmetic_dtype(layer))
    return activation_range(layer.activation, output, arithmetic_dtype(layer))


@_rule("Activation")
def _activation(layer: Any, x: Interval) -> Interval | None:
    return activation_range(layer.activation, x, arithmetic_dtype(layer))


@_rule("ReLU")
def _relu(layer: Any, x: Interval) -> Interval | None:
    return activation_range(layer, x, arithmetic_dtype(layer))


@_rule("LeakyReLU")
def _leaky_relu(layer: Any, x: Interval) -> Interval:
    slope = float(layer.negative_slope)
    return x.map(lambda end: np.maximum(end, 0.0) + slope * np.minimum(end, 0.0))


@_rule("Softmax")
def _softmax(layer: Any, x: Interval, mask: Interval | None = None) -> Interval:
    return Interval.of(0.0, 1.0)


@_rule("Rescaling")
def _rescaling(layer: Any, x: Interval) -> Interval:
    product = x * Interval.of(layer.scale, layer.scale)
    # The two terms may cancel, so the slack goes with their sizes.
    terms = product.largest + np.abs(layer.offset)
    slack = 4.0 * STORAGE_ROUNDOFF[arithmetic_dtype(layer)] * terms
    return (product + Interval.of(layer.offset, layer.offset)).widen(slack)


@_rule("Embedding")
def _embedding(layer: Any, tokens: Interval) -> Interval:
    table = to_float64(layer.embeddings)
    return Interval.of(table.min(axis=0), table.max(axis=0))


@_rule("BatchNormalization")
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
    slack = 8.0 * STORAGE_ROUNDOFF[arithmetic_dtype(layer)] * terms
    return (product - mean + beta).widen(slack)


@_rule("LayerNormalization")
def _layer_normalization(layer: Any, x: Interval) -> Interval | None:
    """`|x̂| <= sqrt(m - 1)` over the `m` values that are normalized together.

    Backends may compute the variance as a difference of two large numbers, off by
    `error`; where that exceeds epsilon, `x̂²` can be too large by their ratio.
    """
    if layer.rms_scaling or not (layer.scale or layer.center):
        return None  # x keeps its mean; m isn't known
    gamma = to_float64(layer.gamma) if layer.scale else np.ones(layer.beta.shape)
    beta = to_float64(layer.beta) if layer.center else np.zeros(gamma.shape)
    unit, epsilon = STORAGE_ROUNDOFF[arithmetic_dtype(layer)], float(layer.epsilon)
    largest = float(x.largest.max())
    error = 8.0 * (gamma.size + 8) * unit * largest**2
    bound = np.sqrt((gamma.size - 1) * max(1.0, error / epsilon))
    normalized = bound + 8.0 * unit * largest / np.sqrt(epsilon)
    spread = np.abs(gamma) * normalized
    output = Interval.of(beta - spread, beta + spread)
    return output if gamma.ndim == 1 and layer.axis in (-1, [-1]) else output.collapse()


@_rule("Add")
def _add(layer: Any, x: Interval, *others: Interval) -> Interval:
    total, terms = x, x.largest
    for other in others:
        total, terms = total + other, terms + other.largest
    return total.widen(len(others) * STORAGE_ROUNDOFF[arithmetic_dtype(layer)] * terms)


@_rule("Subtract")
def _subtract(layer: Any, x: Interval, other: Interval) -> Interval:
    slack = STORAGE_ROUNDOFF[arithmetic_dtype(layer)] * (x.largest + other.largest)
    return (x - other).widen(slack)


@_rule("Multiply")
def _multiply(layer: Any, x: Interval, *others: Interval) -> Interval:
    # Keras puts a 1 where an input is masked, and a 0 where all of them are.
    product = x.hull(ONE)
    for other in others:
        product = product * other.hull(ONE)
    slack = 2.0 * len(others) * STORAGE_ROUNDOFF[arithmetic_dtype(layer)]
    return product.widen(slack * product.largest).hull(ZERO)


@_rule("Average")
def _average(layer: Any, x: Interval, *others: Interval) -> Interval | None:
    return _mean(layer, x.hull(*others), 1 + len(others))


@_rule("Maximum", "Minimum")
def _between(layer: Any, x: Interval, *others: Interval) -> Interval:
    return x.hull(*others)


@_rule("Concatenate")
def _concatenate(layer: Any, *parts: Interval) -> Interval:
    per_feature = layer.axis == -1 and all(x.lower.ndim == 1 for x in parts)
    if per_feature:
        return Interval.concatenate(*parts)
    # Along another axis a bound per feature could be kept; one for all is enough.
    whole = [x.collapse() for x in parts]
    return whole[0].hull(*whole[1:])
