"""What can't be converted is refused with the reason and the way out."""

import re
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from functools import partial
from typing import Any

import keras
import numpy as np
import pytest

import keras_urnn as ku
from keras_urnn.equivalence import to_unitary, verify_equivalence
from keras_urnn.equivalence.input_bound.given import InputBounds
from tests.equivalence.layers import build
from tests.equivalence.networks import FEATURES
from tests.helpers import precision, to_numpy

L = keras.layers


def simple(norm: float, **kwargs: Any) -> Any:
    return build(L.SimpleRNN(3, **{"activation": "relu", **kwargs}), norm)


def stuck(norm: float) -> Any:
    """A layer of this norm, which no scaling changes."""
    layer = simple(0.5)
    layer.cell.recurrent_kernel.assign(norm * np.eye(3))
    return layer


def broken(value: float) -> Any:
    layer = build(ku.ContractiveRNN(3))
    kernel = np.zeros((FEATURES, 3))
    kernel[0, 0] = value
    layer.cell.kernel.assign(kernel)
    return layer


def plain(*layers: Any) -> Any:
    model = keras.Sequential([keras.Input((5, FEATURES)), *layers])
    for layer in model.layers:
        if isinstance(layer, L.SimpleRNN):
            build(layer)
    return model


def in_two_parts() -> Any:
    layer = ku.ContractiveRNN(3, output_units=2, return_state=True, name="wired")
    return plain(layer)


def given_to_cells() -> Any:
    x, start = keras.Input((5, FEATURES)), keras.Input((2,))
    cell = ku.ContractiveRNNCell(2)
    y = L.Bidirectional(L.RNN(cell), name="wired")(x, initial_state=[start, start])
    return keras.Model([x, start], y)


def stateful_stack() -> Any:
    cells = [ku.ContractiveRNNCell(2), ku.ContractiveRNNCell(2)]
    x = keras.Input(batch_shape=(2, 5, FEATURES))
    return keras.Model(x, L.RNN(cells, stateful=True, name="wired")(x))


def trained_at_inference() -> Any:
    x = keras.Input((5, FEATURES))
    return keras.Model(x, ku.ContractiveRNN(2, name="here")(x, training=True))


def trained_inside() -> Any:
    x = keras.Input((5, FEATURES))
    inner = keras.Sequential(
        [keras.Input((5, FEATURES)), L.TimeDistributed(L.Dense(2)), here()]
    )
    return keras.Model(x, inner(x, training=True))


def here() -> Any:
    return ku.ContractiveRNN(2, name="here")


class Twice(L.Wrapper):
    """A wrapper that Keras does not have."""

    def call(self, x: Any) -> Any:
        return self.layer(x)


def wrapped(inside: Any) -> Any:
    return keras.Sequential(
        [keras.Input((5, FEATURES)), Twice(Twice(inside), name="outer")]
    )


def inner_model() -> Any:
    return keras.Sequential([keras.Input((5, FEATURES)), here()])


def text() -> Any:
    words = keras.Input((5,), dtype="string", name="words")
    tokens = L.StringLookup(vocabulary=["a", "b"])(words)
    return keras.Model(words, ku.ContractiveRNN(2)(L.Embedding(4, 3)(tokens)))


class NoConfig(keras.layers.Layer):
    def __init__(self, units: int) -> None:
        super().__init__()
        self.units = units

    def call(self, x: Any) -> Any:
        return x


class Subclassed(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.layer = ku.ContractiveRNN(2)

    def call(self, x: Any) -> Any:
        return self.layer(x)


def subclassed() -> Any:
    model = Subclassed()
    model(np.zeros((1, 2, FEATURES), "float32"))
    return model


def functional(layer: Any) -> Any:
    x = keras.Input((5, FEATURES))
    return keras.Model(x, layer(x))


class GraphAndCode(keras.Model):
    """It has a graph, and does something else."""

    def call(self, x: Any, **kwargs: Any) -> Any:
        return 2.0 * super().call(x, **kwargs)


def graph_and_code() -> Any:
    x = keras.Input((5, FEATURES))
    return GraphAndCode(x, here()(x))


# What is refused, and the words of the reason and the way out.
TARGETS: dict[str, tuple[Callable[[], Any], list[str]]] = {
    "norm": (lambda: stuck(1.0), ["spectral norm 1", "`horizon`", "ContractiveRNN"]),
    "norm-above": (lambda: stuck(1.25), ["spectral norm 1.25", "ContractiveRNN"]),
    "tanh": (
        lambda: simple(0.5, activation="tanh"),
        [
            "activation tanh",
            "theorem 3",
            "no unitary RNN of any finite size",
            "UnitaryRNN",
        ],
    ),
    "linear": (
        lambda: simple(0.5, activation=None),
        ["activation linear", "theorem 3"],
    ),
    "partial": (
        lambda: simple(0.5, activation=partial(keras.activations.relu, max_value=2.0)),
        ["relu", "can't save", "`activation=keras.layers.ReLU(max_value"],
    ),
    "function": (
        lambda: simple(0.5, activation=keras.ops.relu),
        ["activation relu", "isn't known here", "`keras.layers.ReLU(max_value"],
    ),
    "leaky-layer": (
        lambda: simple(0.5, activation=L.ReLU(negative_slope=0.25)),
        ["activation ReLU(max_value=None, negative_slope=0.25", "theorem 3"],
    ),
    "layer-of-another-dtype": (
        lambda: simple(0.5, activation=L.ReLU(dtype="float16")),
        ["computes in float32", "in float16", "make both of one dtype"],
    ),
    "nan": (lambda: broken(np.nan), ["finite weights", "NaN or Inf", "learning rate"]),
    "inf": (lambda: broken(np.inf), ["finite weights", "NaN or Inf"]),
    "unbuilt-cell": (lambda: ku.ContractiveRNNCell(2), ["built", "call it on data"]),
    "unbuilt-layer": (lambda: ku.ContractiveRNN(2), ["built", "call it on data"]),
    "unbuilt-unitary": (lambda: ku.UnitaryRNN(2), ["built", "call it on data"]),
    "unbuilt-model": (
        lambda: keras.Sequential([ku.ContractiveRNN(2)]),
        ["built", "call it on data"],
    ),
    "recurrent-dropout": (
        lambda: simple(0.5, recurrent_dropout=0.5),
        ["recurrent dropout", "`recurrent_dropout=0`"],
    ),
    "lstm": (lambda: L.LSTM(2), ["LSTMCell", "Gated cells"]),
    "dense": (lambda: L.Dense(2), ["Dense", "theorem 1"]),
    "number": (lambda: 3, ["int", "a recurrent cell, layer or model"]),
    "subclass": (
        lambda: build(type("Mine", (L.SimpleRNN,), {})(2, "relu")),
        ["Mine"],
    ),
    "no-recurrent-layer": (
        lambda: plain(L.LSTM(2), L.Dense(1)),
        ["a model with a recurrent layer", "LSTM and GRU are left alone"],
    ),
    "tanh-in-a-model": (
        lambda: plain(L.SimpleRNN(2, name="here")),
        ["here", "activation tanh", "theorem 3"],
    ),
    "subclassed-model": (subclassed, ["subclassed model Subclassed", "one by one"]),
    "subclassed-inside": (
        lambda: functional(subclassed()),
        ["subclassed model Subclassed", "one by one"],
    ),
    "subclass-with-a-graph": (
        graph_and_code,
        ["subclassed model GraphAndCode", "one by one"],
    ),
    "in-two-parts": (in_two_parts, ["wired", "output_units"]),
    "given-to-cells": (given_to_cells, ["wired", "`initial_state` given"]),
    "stateful-stack": (stateful_stack, ["wired", "stateful", "several cells"]),
    "training": (trained_at_inference, ["here", "`training=True`"]),
    "training-inside": (trained_inside, ["here", "`training=True`"]),
    "no-config": (
        lambda: plain(NoConfig(2), ku.ContractiveRNN(2)),
        ["NoConfig", "get_config", "one by one"],
    ),
    "text": (text, ["words", "an input of text", "behind the lookup"]),
    "lambda": (
        lambda: plain(L.Lambda(lambda x: 2 * x, name="twice"), ku.ContractiveRNN(2)),
        ["twice", "Lambda"],
    ),
    "wrapped": (lambda: wrapped(here()), ["a recurrent layer inside Twice"]),
    "wrapped-model": (lambda: wrapped(inner_model()), ["a nested model inside Twice"]),
}


@pytest.mark.parametrize(("make", "words"), TARGETS.values(), ids=TARGETS)
def test_a_target_is_refused(make: Callable[[], Any], words: list[str]) -> None:
    with pytest.raises(ValueError, match="`target` must be") as caught:
        to_unitary(make(), input_bound=1.0)
    for word in words:
        assert word in str(caught.value)


def test_a_norm_above_1_is_refused_whatever_the_horizon() -> None:
    with pytest.raises(ValueError, match=r"spectral norm 1\.25.*not above"):
        to_unitary(stuck(1.25), input_bound=1.0, horizon=10)


def of_norm(norm: float, **kwargs: Any) -> Any:
    """A contractive layer whose matrix was set to one of this norm."""
    layer = build(ku.ContractiveRNN(3, name="mine", **kwargs))
    layer.cell.recurrent_kernel.assign(norm * np.eye(3))
    return layer


@pytest.mark.parametrize("horizon", [None, 10])
def test_a_contractive_layer_is_not_told_to_be_one(horizon: int | None) -> None:
    wrong = "train a `ContractiveRNN`|Train a|`recurrent_constraint`"
    cases = [(of_norm(1.25), "were set and not projected.*constraint")]
    if horizon is None:
        cases.append((of_norm(1.0, max_norm=1.0), "a `max_norm` below 1 .it has 1"))
    for layer, words in cases:
        with pytest.raises(ValueError, match=words) as caught:
            to_unitary(layer, input_bound=1.0, horizon=horizon)
        assert not re.search(wrong, str(caught.value))
    # The advice is followed.
    layer = cases[0][0]
    kernel = layer.cell.recurrent_kernel
    kernel.assign(kernel.constraint(kernel))
    assert to_unitary(layer, input_bound=1.0, horizon=horizon).built


def test_an_input_without_a_name_is_called_so() -> None:
    unnamed, named = keras.Input((5, FEATURES)), keras.Input((5, FEATURES), name="y")
    model = keras.Model([unnamed, named], here()(L.Add()([unnamed, named])))
    for bound in ({"y": 1.0}, {"x": 1.0, "y": 1.0}, [1.0, 1.0], {"y": 1.0, None: 1.0}):
        with pytest.raises(ValueError, match=r"no name|has none") as caught:
            to_unitary(model, input_bound=bound)
        assert "keras_tensor" not in str(caught.value)
    bound = {model.inputs[0].name: 1.0, "y": 1.0}
    with pytest.raises(ValueError, match=r"has none.*model.inputs\[0\]\.name"):
        to_unitary(model, input_bound={**bound, "z": 1.0})
    assert to_unitary(model, input_bound=bound).built


# The activation of Keras that is constant on a half-line and nearest to each other.
NEAREST = {
    "tanh": "'hard_tanh'",
    "softsign": "'hard_tanh'",
    "sigmoid": "'hard_sigmoid' or 'sparse_sigmoid'",
    "softplus": "'relu' or 'sparse_plus'",
    "squareplus": "'relu' or 'sparse_plus'",
    "silu": "'hard_silu'",
    "swish": "'hard_silu'",
    **dict.fromkeys(
        ["gelu", "elu", "selu", "celu", "mish", "leaky_relu", "linear"], "'relu'"
    ),
    **dict.fromkeys(["exponential", "log_sigmoid", "tanh_shrink"], "'relu'"),
}


@pytest.mark.parametrize("name", NEAREST)
def test_a_smooth_activation_is_refused_with_the_nearest_alternative(name: str) -> None:
    layer = simple(0.5, activation=name)
    with pytest.raises(ValueError, match=r"activation \w+'.*theorem 3") as caught:
        to_unitary(layer, input_bound=1.0)
    assert f"Retrain with `activation={NEAREST[name]}`, the nearest" in str(
        caught.value
    )


BAD_BOUNDS = [
    None,
    0.0,
    -1.0,
    np.nan,
    np.inf,
    [1.0, 0.0, 1.0],
    [1.0, np.inf, 1.0],
    [],
    "large",
    "1.0",
    True,
    ["1.0", "1.0", "1.0"],
    [True, True, True],
    [[1.0, 1.0, 1.0]],
    1.0 + 0.0j,
    np.array([1.0 + 2.0j, 1.0, 1.0]),
    np.timedelta64(1, "s"),
    np.datetime64("2020"),
    timedelta(1),
    np.array(["1", "2", "3"], object),
    np.array([1.0, None, 1.0], object),
    np.ma.array([1.0, 2.0, 3.0], mask=[False, True, False]),
    [np.ma.masked, 1.0, 1.0],
    [[1.0], [1.0, 2.0]],
    10**400,
    [1.0, Fraction(10**400), 1.0],
    Decimal("sNaN"),
    {"x": 1j},
    keras.KerasTensor((3,)),
    object(),
]


@pytest.mark.parametrize("kind", ["layer", "model", "unitary"])
def test_a_bound_that_is_not_positive_and_finite_is_refused(kind: str) -> None:
    unitary = ku.UnitaryRNN(2)
    unitary.build((None, None, FEATURES))
    targets: dict[str, Callable[[], Any]] = {
        "layer": lambda: simple(0.5),
        "model": lambda: plain(ku.ContractiveRNN(2)),
        "unitary": lambda: unitary,
    }
    target, match = targets[kind](), "`input_bound` must be a positive, finite"
    for bound in BAD_BOUNDS:
        with pytest.raises(ValueError, match=match):
            to_unitary(target, input_bound=bound)


def test_a_bound_that_no_double_holds_is_rounded_up() -> None:
    for bound in (2**53 + 1, Fraction(1, 3), Decimal("0.1"), np.uint64(2**64 - 1)):
        found = InputBounds(bound).of_input("x").upper
        exact = int(bound) if isinstance(bound, np.integer) else bound
        assert np.nextafter(found, 0.0) < exact <= found


@pytest.mark.each_backend
def test_tensors_and_variables_are_bounds() -> None:
    for bound in (keras.ops.ones(3), keras.Variable([1.0, 1.0, 1.0]), [1, 1.0, 1]):
        np.testing.assert_array_equal(InputBounds(bound).of_input("x").upper, [1] * 3)


def test_an_error_does_not_write_out_the_data() -> None:
    x = np.random.default_rng(0).normal(size=(4, 10, FEATURES))
    for bound in (x, x.tolist(), {"x": x}, keras.ops.convert_to_tensor(x), -(10**5000)):
        with pytest.raises(ValueError, match=r"measure_input_bound\(x\)") as caught:
            to_unitary(simple(0.5), input_bound=bound)
        assert len(str(caught.value)) < 900


@pytest.mark.parametrize("kind", ["layer", "model"])
def test_a_bound_for_another_number_of_features_is_refused(kind: str) -> None:
    target = simple(0.5) if kind == "layer" else plain(ku.ContractiveRNN(2))
    with pytest.raises(ValueError, match="an array of 3 numbers"):
        to_unitary(target, input_bound=[1.0, 2.0])


def test_a_bound_for_another_number_of_outputs_is_refused() -> None:
    layers = [ku.ContractiveRNN(3, return_sequences=True, name="c"), L.Dense(4)]
    model = plain(L.Dense(3, name="before"), *layers)
    bound = {model.inputs[0].name: 1.0, "before": [1.0, 2.0]}
    with pytest.raises(ValueError, match="3 numbers, the features of 'before'"):
        to_unitary(model, input_bound=bound)


@pytest.mark.parametrize("check", [to_unitary, verify_equivalence])
@pytest.mark.parametrize("kind", ["layer", "cell"])
def test_a_bound_for_something_else_than_the_target_is_refused(
    check: Any, kind: str
) -> None:
    layer = build(ku.ContractiveRNN(3, name="here"))
    target = layer if kind == "layer" else layer.cell
    arguments = [target] if check is to_unitary else [target, target]
    with pytest.raises(ValueError, match=r"Received: input_bound=\['other'\]"):
        check(*arguments, input_bound={target.name: 1.0, "other": 1.0})


@pytest.mark.parametrize("horizon", [0, -3, 2.5, "long", True, 2**63, 10**400])
def test_a_horizon_that_is_no_number_of_steps_is_refused(horizon: Any) -> None:
    with pytest.raises(ValueError, match="`horizon` must be a positive integer"):
        to_unitary(simple(0.5), input_bound=1.0, horizon=horizon)


def test_a_bias_that_overflows_half_precision_is_refused() -> None:
    with precision("mixed_float16"):
        layer = simple(0.5)
        with pytest.raises(ValueError, match=r"largest number is 65504.*bias -"):
            to_unitary(layer, input_bound=6e4)


def test_a_horizon_beyond_every_bound_is_refused() -> None:
    # Rounding may put the norm above 1, and a power of it above every number.
    with precision("float32"):
        layer = ku.ContractiveRNN(64, seed=1)
        layer.build((None, None, FEATURES))
    with pytest.raises(ValueError, match=r"the bias -inf.*smaller number of steps"):
        to_unitary(layer, input_bound=1.0, horizon=40000)
    converted = to_unitary(layer, input_bound=1.0, horizon=1000)
    assert np.all(np.isfinite(to_numpy(converted.cell.bias)))
    report = verify_equivalence(
        layer,
        converted,
        input_bound=1.0,
        horizon=1000,
        steps=50,
        batch_size=2,
        search=False,
    )
    assert report.equivalent, report


def test_float64_that_jax_stores_in_float32_is_refused(run_python: Any) -> None:
    code = """
import warnings
warnings.simplefilter("ignore")  # JAX says that it truncates
import keras_urnn as ku
layer = ku.ContractiveRNN(4, dtype="float64")
layer.build((None, None, 3))
try:
    ku.to_unitary(layer, input_bound=1.0)
except ValueError as error:
    print("JAX_ENABLE_X64=1" in str(error))
"""
    assert run_python(code, KERAS_BACKEND="jax", JAX_ENABLE_X64="0").split() == ["True"]


def test_an_unbounded_cell_inside_a_stack_is_refused() -> None:
    layer = L.RNN([ku.UnitaryRNNCell(2), ku.ContractiveRNNCell(2)])
    layer.build((None, None, FEATURES))
    with pytest.raises(ValueError, match=r"not bounded for ever.*`horizon`"):
        to_unitary(layer, input_bound=1.0)
    assert to_unitary(layer, input_bound=1.0, horizon=5).built


@pytest.mark.each_backend
@pytest.mark.parametrize("start", ["given", "carried"])
def test_a_masked_simple_rnn_that_starts_elsewhere_is_refused_on_jax(
    start: str,
) -> None:
    """Keras' own layer gives there what it starts from; on other backends zeros."""
    mask = keras.Input(batch_shape=(2, 5), dtype="bool")
    x, state = keras.Input(batch_shape=(2, 5, FEATURES)), keras.Input((2,))
    layer = L.SimpleRNN(2, "relu", stateful=start == "carried", name="here")
    given = {"initial_state": state} if start == "given" else {}
    model = keras.Model([x, mask, state], [layer(x, mask=mask, **given), state])
    layer.cell.recurrent_kernel.assign(np.zeros((2, 2)))
    if keras.config.backend() == "jax":
        with pytest.raises(
            ValueError, match=r"here: .*a mask and a start other than 0"
        ):
            to_unitary(model, input_bound=1.0)
    else:
        assert to_unitary(model, input_bound=1.0).get_layer("here").cell.units == 4


@pytest.mark.each_backend
def test_a_normalization_computes_with_the_weights_that_are_copied() -> None:
    normalization = L.Normalization()
    model = keras.Sequential(
        [keras.Input((4, FEATURES), name="x"), normalization, ku.ContractiveRNN(3)]
    )
    mean, variance, count = normalization.get_weights()
    normalization.set_weights([mean + 1.0, variance, count])
    if keras.config.backend() != "torch":  # there its numbers are views of the weights
        with pytest.raises(ValueError, match=r"Call `finalize_state\(\)`"):
            to_unitary(model, input_bound=1.0)
    normalization.finalize_state()
    x = np.random.default_rng(0).uniform(-1.0, 1.0, (2, 4, FEATURES)).astype("float32")
    converted = to_unitary(model, input_bound=1.0)
    np.testing.assert_allclose(to_numpy(converted(x)), to_numpy(model(x)), atol=1e-5)
