"""The range of the outputs of a layer, given the ranges of its inputs.

A table holds a rule for each type of layer. A rule returns an `Interval` per feature
(last axis) that holds every value the layer computes at inference, rounding in its
compute dtype included, or `None` where the range is not known. It is not known of a
type without a rule, of a subclass and of a quantized layer, which may compute something
else.

Inference means that dropout and noise do nothing and that batch normalization uses
its moving averages.
"""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from keras_urnn.equivalence.ranges.activations import activation_range
from keras_urnn.equivalence.ranges.convolutions import CONVOLUTIONS
from keras_urnn.equivalence.ranges.intervals import (
    LARGEST,
    ONE,
    STORAGE_ROUNDOFF,
    ZERO,
    Interval,
    affine,
    arithmetic_dtype,
    rounded,
    to_float64,
)
from keras_urnn.equivalence.ranges.normalizations import NORMALIZATIONS
from keras_urnn.equivalence.ranges.pooling import POOLING, mean
from keras_urnn.equivalence.ranges.rearrangements import REARRANGEMENTS
from keras_urnn.equivalence.ranges.recurrent_layers import Starts, recurrent_ranges

Rule = Callable[..., Interval | None]
RULES: dict[type, Rule] = {
    **CONVOLUTIONS,
    **NORMALIZATIONS,
    **POOLING,
    **REARRANGEMENTS,
}


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
        return [None]  # integers: no bound on rounding, and overflow wraps around
    if isinstance(layer.dtype_policy, keras.dtype_policies.QuantizedDTypePolicy):
        return [None]  # its weights are multiplied by scales that are stored apart
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
    # Beyond the largest number of the dtype, infinity is computed. Not true of NaN.
    largest = LARGEST[arithmetic_dtype(layer)]
    return found if np.all(found.largest <= largest) else None


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
)
def _same(layer: Any, x: Interval) -> Interval:
    return x


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
    return mean(x.hull(*others), 1 + len(others), arithmetic_dtype(layer))


@_rule("Maximum", "Minimum")
def _between(layer: Any, x: Interval, *others: Interval) -> Interval:
    return x.hull(*others)


@_rule("Concatenate")
def _concatenate(layer: Any, *parts: Interval) -> Interval:
    per_feature = layer.axis == -1 and all(x.lower.ndim == 1 for x in parts)
    if per_feature:
        return Interval.concatenate(*parts)
    # Along another axis the features keep their places; one bound for all is enough.
    whole = [x.collapse() for x in parts]
    return whole[0].hull(*whole[1:])
