"""Layers before a recurrent one: their ranges hold, and no narrower ones would."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np
import pytest

import keras_urnn as ku
from keras_urnn.equivalence import prune_inactive, to_unitary, verify_equivalence
from keras_urnn.equivalence.input_bound.given import InputBounds
from keras_urnn.equivalence.models.propagation import Survey
from keras_urnn.equivalence.ranges.intervals import (
    Interval,
    arithmetic_dtype,
    averaging_dtype,
    symmetric,
)
from keras_urnn.equivalence.ranges.layers import layer_ranges
from tests.equivalence.models import outputs, randomize
from tests.equivalence.networks import Array
from tests.helpers import precision, to_numpy

L = keras.layers
STEPS, FEATURES = 7, 4
FIRST = {"data_format": "channels_first"}


class Row(NamedTuple):
    """A layer; the lengths that its range is made of; whether it takes `(batch, x)`."""

    make: Callable[[], Any]
    lengths: tuple[int, ...] = (STEPS,)
    flat: bool = False


def normalization(axis: Any, invert: bool = False, given: bool = False) -> Any:
    """One deviation is below epsilon, which takes its place."""
    axes = () if axis is None else (axis,) if isinstance(axis, int) else axis
    shape = tuple((0, STEPS, FEATURES)[i] for i in axes)
    generator = np.random.default_rng(0)
    mean, variance = generator.normal(size=shape), generator.uniform(0.1, 2.0, shape)
    if given:
        return L.Normalization(axis, mean, variance, invert)
    layer = L.Normalization(axis, invert=invert)
    data = generator.normal(3.0, 2.0, (9, STEPS, FEATURES))
    data[:, :1, :1] = 3.0
    layer.adapt(data)
    return layer


def convolution(lengths: tuple[int, ...] = (STEPS,), **kwargs: Any) -> Row:
    return Row(lambda: L.Conv1D(2, 3, **kwargs), lengths)


# Sequences that are shorter than the kernel, too, where it is padded.
PADDED = (1, 2, 3, STEPS)
ROWS: dict[str, Row] = {
    "normalization": Row(lambda: normalization(-1)),
    "normalization-inverse": Row(lambda: normalization(-1, invert=True)),
    "normalization-of-all": Row(lambda: normalization(None)),
    "normalization-given": Row(lambda: normalization(-1, given=True)),
    "normalization-given-inverse": Row(lambda: normalization(2, True, True)),
    "normalization-of-steps": Row(lambda: normalization(1)),
    "normalization-of-both": Row(lambda: normalization((1, 2))),
    "convolution": convolution(),
    "convolution-no-bias": convolution(use_bias=False),
    "convolution-strides": convolution(strides=2),
    "convolution-dilation": convolution(dilation_rate=2),
    "convolution-groups": Row(lambda: L.Conv1D(6, 2, groups=2)),
    "convolution-relu": convolution(activation="relu"),
    "convolution-tanh": convolution(activation="tanh"),
    "convolution-same": convolution(PADDED, padding="same"),
    "convolution-same-even": Row(
        lambda: L.Conv1D(2, 4, padding="same", strides=2), (1, 2, 3, 4, 5)
    ),
    "convolution-same-strides": convolution(PADDED, padding="same", strides=2),
    "convolution-same-wide": convolution((1, 2, 3, 6), padding="same", strides=5),
    "convolution-same-dilation": convolution(PADDED, padding="same", dilation_rate=2),
    "convolution-same-between": Row(
        lambda: L.Conv1D(2, 2, padding="same", dilation_rate=3), PADDED
    ),
    "convolution-causal": convolution(PADDED, padding="causal"),
    "convolution-causal-strides": convolution(PADDED, padding="causal", strides=2),
    "convolution-causal-dilation": convolution(
        PADDED, padding="causal", dilation_rate=2
    ),
    "depthwise": Row(lambda: L.DepthwiseConv1D(3, depth_multiplier=2)),
    "depthwise-same": Row(lambda: L.DepthwiseConv1D(3, padding="same"), PADDED),
    "separable": Row(lambda: L.SeparableConv1D(3, 2, depth_multiplier=2)),
    "separable-same": Row(lambda: L.SeparableConv1D(3, 3, padding="same"), PADDED),
    "largest": Row(lambda: L.MaxPooling1D(3, 2)),
    "largest-same": Row(lambda: L.MaxPooling1D(4, 2, padding="same")),
    "largest-same-channels": Row(lambda: L.MaxPooling1D(3, padding="same", **FIRST)),
    "largest-of-all": Row(lambda: L.GlobalMaxPooling1D(keepdims=True)),
    "average": Row(lambda: L.AveragePooling1D(3, 2)),
    "average-same": Row(lambda: L.AveragePooling1D(4, 1, padding="same")),
    "average-same-uneven": Row(lambda: L.AveragePooling1D(4, 3, padding="same")),
    "average-same-channels": Row(
        lambda: L.AveragePooling1D(3, padding="same", **FIRST)
    ),
    "average-of-all": Row(lambda: L.GlobalAveragePooling1D()),
    "average-of-all-channels": Row(lambda: L.GlobalAveragePooling1D(**FIRST)),
    "padding": Row(lambda: L.ZeroPadding1D((2, 1))),
    "padding-by-nothing": Row(lambda: L.ZeroPadding1D((0, 0))),
    "padding-channels": Row(lambda: L.ZeroPadding1D((2, 1), **FIRST)),
    "cropping": Row(lambda: L.Cropping1D((2, 1))),
    "upsampling": Row(lambda: L.UpSampling1D(2)),
    "permute": Row(lambda: L.Permute((2, 1))),
    "permute-nothing": Row(lambda: L.Permute((1, 2))),
    "flatten": Row(lambda: L.Flatten()),
    "flatten-channels": Row(lambda: L.Flatten(**FIRST)),
    "reshape": Row(lambda: L.Reshape((FEATURES, STEPS))),
    "reshape-wider": Row(lambda: L.Reshape((-1, 2 * FEATURES)), (2, 4)),
    "reshape-narrower": Row(lambda: L.Reshape((2 * STEPS, -1))),
    "reshape-coprime-in-part": Row(lambda: L.Reshape((2, 6)), (3,)),
    "repeat": Row(lambda: L.RepeatVector(3), flat=True),
}
# Of both signs, of one, and of either by the feature.
RANGES = [
    ([-1.0, -2.0, -0.5, -3.0], [1.0, 2.0, 0.5, 3.0]),
    ([0.5, 0.1, 2.0, 0.0], [1.0, 0.3, 2.0, 4.0]),
    ([-3.0, -0.2, -1.0, -2.0], [-2.0, -0.1, -1.0, -1.5]),
    ([0.5, -0.2, -1.0, -2.0], [2.0, 0.7, -0.5, 1.0]),
]
# Bounds for a kernel are reached to rounding. Keras' own layers compute in float32 on
# PyTorch, where the range leaves room for TF32: four roundings to 10 bits in each
# product, of which a separable convolution has two, whose terms may cancel.
ROUNDING = {"float64": 1e-12, "float32": 2.0**-6}


# Where backends pad, sum or round in ways of their own.
ON_EACH_BACKEND = (
    "convolution-same-even",
    "convolution-same-between",
    "depthwise-same",
    "largest-same",
    "average-same",
    "average-same-uneven",
    "average-of-all",
)


def named(name: str) -> Any:
    marks = [pytest.mark.each_backend] if name in ON_EACH_BACKEND else []
    return pytest.param(ROWS[name], id=name, marks=marks)


each_row = pytest.mark.parametrize("row", [named(name) for name in ROWS])


def shape_of(row: Row) -> tuple[int | None, ...]:
    steps = None if len(row.lengths) > 1 else row.lengths[0]
    return (FEATURES,) if row.flat else (steps, FEATURES)


def built(row: Row) -> Any:
    """The layer in a graph of its own, with random weights."""
    layer = row.make()
    layer(keras.Input(shape_of(row)))
    generator = np.random.default_rng(1)
    if not isinstance(layer, L.Normalization):
        for weight in layer.weights:
            drawn = generator.normal(size=weight.shape)
            weight.assign(np.abs(drawn) if "variance" in weight.path else drawn)
    return layer


def entering(layer: Any) -> list[Interval]:
    """One range for all where the last axis is not that of the channels."""
    found = [Interval.of(*ends) for ends in RANGES]
    if getattr(layer, "data_format", None) == "channels_first":
        return [x.collapse().spread(FEATURES) for x in found]
    return found


def signs(layer: Any, shape: tuple[int, ...]) -> Array:
    """In which direction each number of the output moves with each of the input.

    It is the same direction everywhere, and large changes of one number tell it
    through an activation as well.
    """
    count = math.prod(shape)
    changes = 1e3 * np.eye(count).reshape(count, *shape)
    moved = to_numpy(layer(changes)) - to_numpy(layer(-changes))
    return np.sign(moved.reshape(count, -1).T.reshape(-1, *shape))


def draw(x: Interval, directions: Array) -> Array:
    """The inputs at which the outputs are largest and smallest, and some inside."""
    generator = np.random.default_rng(2)
    inside = generator.uniform(x.lower, x.upper, (8, *directions.shape[1:]))
    ends = [np.where(directions * s > 0.0, x.upper, x.lower) for s in (1.0, -1.0)]
    return np.concatenate([*ends, inside])


def seen(layer: Any, shape: tuple[int, ...]) -> list[Array]:
    """What leaves the layer, of shape `(any, features)`, for each range entering it."""
    directions = signs(layer, shape)
    drawn = np.stack([draw(x, directions) for x in entering(layer)])
    found = to_numpy(layer(drawn.reshape(-1, *shape)))
    return list(found.reshape(len(RANGES), -1, found.shape[-1]))


def rounding_dtype(layer: Any) -> str:
    averages = isinstance(layer, L.GlobalAveragePooling1D)
    return averaging_dtype(layer) if averages else arithmetic_dtype(layer)


def derived(layer: Any, x: Interval) -> Interval:
    (found,) = layer_ranges(layer, [x])
    assert found is not None
    return found


@each_row
def test_a_range_holds_and_is_reached(row: Row) -> None:
    with precision("float64"):
        layer = built(row)
        shapes = [(FEATURES,) if row.flat else (n, FEATURES) for n in row.lengths]
        by_length = [seen(layer, shape) for shape in shapes]
        for x, parts in zip(entering(layer), zip(*by_length, strict=True), strict=True):
            values, found = np.concatenate(parts), derived(layer, x)
            assert found.lower.shape in {(), values.shape[1:]}
            assert np.all(found.lower <= values)
            assert np.all(values <= found.upper)
            if not found.lower.ndim:
                values = values.reshape(-1, 1)
            terms = derived(layer, symmetric(x.largest)).largest
            slack = ROUNDING[rounding_dtype(layer)] * (1.0 + terms)
            assert np.all(found.upper - values.max(axis=0) <= slack)
            assert np.all(values.min(axis=0) - found.lower <= slack)


@pytest.mark.parametrize("make", [L.Conv1D, L.DepthwiseConv1D, L.SeparableConv1D])
def test_channels_may_come_first(make: Any) -> None:
    """TensorFlow can't compute that on a CPU: the other format is the oracle."""
    arguments = (3,) if make is L.DepthwiseConv1D else (2, 3)
    last, first = make(*arguments), make(*arguments, **FIRST)
    last.build((None, STEPS, FEATURES))
    first.build((None, FEATURES, STEPS))
    first.set_weights(last.get_weights())
    x = Interval.of(-1.0, 2.0)
    found, expected = derived(first, x), derived(last, x).collapse()
    assert found.lower == expected.lower
    assert found.upper == expected.upper


@pytest.mark.each_backend
@pytest.mark.parametrize("make", [L.BatchNormalization, L.GlobalAveragePooling1D])
def test_float64_holds_as_it_is_computed(make: Any) -> None:
    """On JAX Keras computes both in float32."""
    with precision("float64"):
        layer = built(Row(make))
        x = np.random.default_rng(0).normal(size=FEATURES)
        found = derived(layer, Interval.of(x, x))
        values = to_numpy(layer(np.broadcast_to(x, (1, STEPS, FEATURES))))
        assert np.all(found.lower <= values)
        assert np.all(values <= found.upper)


@pytest.mark.each_backend
def test_a_depthwise_sum_holds_in_half_precision() -> None:
    """On TensorFlow each partial sum is rounded, a tenth in all here."""
    layer = L.DepthwiseConv1D(120, use_bias=False, dtype="bfloat16")
    layer.build((None, 120, 1))
    layer.kernel.assign(np.full((120, 1, 1), 1.0 + 31.0 * 2.0**-7))
    found = derived(layer, Interval.of(1.0, 1.0))
    value = to_numpy(layer(np.ones((1, 120, 1), "float32")))
    assert np.all((found.lower <= value) & (value <= found.upper))


def in_a_model(row: Row, **kwargs: Any) -> Any:
    """A recurrent layer behind a layer that is built already."""
    x = keras.Input(shape_of(row), name="x")
    h = row.make()(x)
    h = L.RepeatVector(2)(h) if len(h.shape) == 2 else h
    return keras.Model(x, ku.ContractiveRNN(2, name="behind", **kwargs)(h))


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_a_survey_finds_the_range_of_each_feature(row: Row) -> None:
    model, bound = in_a_model(row), np.arange(1.0, FEATURES + 1.0)
    (use,) = Survey(model, InputBounds(bound), None).uses.values()
    found = derived(model.layers[1], symmetric(bound))
    assert use.entering is not None
    assert use.entering.lower.shape == model.get_layer("behind").input.shape[2:]
    # A repeated vector is given eight units of rounding once more.
    expected = np.broadcast_to(found.lower, use.entering.lower.shape)
    np.testing.assert_allclose(use.entering.lower, expected, rtol=2e-6)


def chain(*layers: Any) -> Any:
    model = keras.Sequential([keras.Input((12, FEATURES), name="x"), *layers])
    return randomize(model)


def sensors() -> Any:
    scales = {"mean": [0.5, 1.0, -3.0, 0.0], "variance": [0.1, 1.0, 2.0, 4.0]}
    return chain(
        L.Normalization(**scales),
        L.Conv1D(3, 3, padding="causal", activation="relu"),
        L.MaxPooling1D(2, padding="same"),
        ku.ContractiveRNN(2, max_norm=0.9),
    )


def spectra() -> Any:
    return chain(
        L.ZeroPadding1D((2, 1)),
        L.DepthwiseConv1D(3, padding="same"),
        L.AveragePooling1D(4, 2, padding="same"),
        L.Cropping1D((1, 0)),
        L.Permute((2, 1)),
        ku.ContractiveRNN(2, max_norm=0.9, return_sequences=True),
        L.Flatten(),
        L.RepeatVector(3),
        ku.ContractiveRNN(2, max_norm=0.9),
    )


@pytest.mark.parametrize("make", [sensors, spectra])
def test_a_model_is_converted_behind_its_front_end(make: Callable[[], Any]) -> None:
    model, bound = make(), np.array([1.0, 2.0, 0.5, 3.0])
    converted = to_unitary(model, input_bound=bound)
    x = bound * np.random.default_rng(0).choice([-1.0, 1.0], (32, 12, FEATURES))
    x[:4] = bound * np.array([1.0, -1.0, 1.0, -1.0])[:, None, None]
    (expected,), (found,) = outputs(model, [x]), outputs(converted, [x])
    # Two ways to the same numbers, as in test_models.py.
    assert np.abs(found - expected).max() <= 1e-6 * np.abs(expected).max()
    report = verify_equivalence(
        model, converted, input_bound=bound, steps=12, batch_size=2, search=False
    )
    assert report.equivalent, report
    pruned = prune_inactive(converted, input_bound=bound)
    assert pruned.layers[-1].cell.units <= model.layers[-1].cell.units


def subclass(kind: Any, *args: Any, **kwargs: Any) -> Any:
    """It may compute something else, as this one does."""
    mine = type("Mine", (kind,), {"call": lambda self, x: 2.0 * kind.call(self, x)})
    return mine(*args, **kwargs)


def quantized() -> Any:
    layer = L.Dense(2)
    layer.build((None, FEATURES))
    layer.kernel.assign(1e3 * np.ones((FEATURES, 2)))
    layer.quantize("int8")
    return layer


def constant_in_half() -> Any:
    """A deviation below the normal numbers of float16."""
    return L.Normalization(mean=0.0, variance=1e-6, dtype="float16")


UNKNOWN: dict[str, Callable[[], Any]] = {
    "subclassed-convolution": lambda: subclass(L.Conv1D, 2, 3),
    "subclassed-normalization": lambda: subclass(L.Normalization),
    "subclassed-pooling": lambda: subclass(L.MaxPooling1D),
    "transposed": lambda: L.Conv1DTranspose(2, 3),
    "activation": lambda: L.Conv1D(2, 3, activation="log_softmax"),
    "many-taps-in-half": lambda: L.DepthwiseConv1D(
        130, padding="same", dtype="bfloat16"
    ),
    "quantized": quantized,
    "beyond-the-dtype": lambda: L.Rescaling(1e5, dtype="float16"),
    "constant-in-half": constant_in_half,
    "negative-variance": lambda: L.Normalization(mean=0.0, variance=-1.0),
    "mean-of-any-number": lambda: L.GlobalAveragePooling1D(),
}


@pytest.mark.parametrize("make", UNKNOWN.values(), ids=UNKNOWN)
def test_what_is_not_known_is_asked_for_by_name(make: Callable[[], Any]) -> None:
    model = in_a_model(Row(make, (1, STEPS)))
    with pytest.raises(ValueError, match=r"what enters 'behind'.*'behind': \.\.\."):
        Survey(model, InputBounds(1.0), None)
    bound = {"x": 1.0, "behind": 2.0}
    (use,) = Survey(model, InputBounds(bound), None).uses.values()
    assert use.entering is not None
    assert np.all(use.entering.upper == 2.0)
