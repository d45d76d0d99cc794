"""The fused recurrence with modReLU gives what Keras' loop over the same cell gives."""

from itertools import product
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

import keras_urnn as ku
from keras_urnn.recurrence import schedule
from tests import gradients
from tests.helpers import BATCH, FEATURES, STEPS, normal, precision, to_numpy
from tests.layers.test_fused import (
    CLOSE,
    JIT_COMPILE,
    OPTIONS,
    model_of,
    plain_twin,
    same_gradients,
)

UNITS = 5
FIELDS = ("real", "complex")
each_field = pytest.mark.parametrize("field", FIELDS)
# The complex one on each backend, where a case takes seconds to compile.
mostly_complex = pytest.mark.parametrize(
    "field", [pytest.param("real", marks=pytest.mark.once), "complex"]
)
# Those that change how the gradient of the bias of modReLU is summed up. A few of them
# run on each backend: compiling one takes seconds.
NAMES = (
    "last",
    "state",
    "backwards-sequences",
    "no-bias",
    "checkpoint",
    "checkpoint-sequences",
    "stateful",
)
ON_EACH = {
    ("real", "state", True),
    ("complex", "last", False),
    ("complex", "checkpoint-sequences", True),
}
CASES = [
    pytest.param(*case, marks=() if case in ON_EACH else (pytest.mark.once,))
    for case in product(FIELDS, NAMES, (False, True))
]


def layer_with(field: str, **options: Any) -> Any:
    parametrization = ku.parametrizations.Projection(field=field)
    return ku.UnitaryRNN(UNITS, "modrelu", parametrization=parametrization, **options)


def randomized(layer: Any) -> None:
    """Weights none of which is zero, with biases of both signs."""
    cell = layer.cell
    for seed, weight in enumerate([cell.kernel, cell.bias, cell.activation.bias]):
        if weight is not None:
            weight.assign(0.5 * normal(*weight.shape, seed=seed))


def assert_same(
    layer: Any,
    masked: bool,
    dtype: str,
    steps: int = STEPS,
    xla: bool = False,
    close: float | None = None,
) -> None:
    assert layer.uses_fused_recurrence, layer.plain_recurrence_reason
    ours = model_of(layer, masked, steps)
    theirs = plain_twin(layer, masked, steps, FEATURES)
    randomized(layer)
    tolerance = close or CLOSE[dtype]
    expected, largest = same_gradients(ours, theirs, dtype, tolerance, steps, xla)
    weights = ours.trainable_variables
    index = next(i for i, w in enumerate(weights) if w is layer.cell.activation.bias)
    # Of the bias of modReLU, and of the layer before the recurrence.
    for gradient in (expected[index], expected[0]):
        assert np.max(np.abs(gradient)) > 1e-3 * largest


@pytest.mark.parametrize(("field", "name", "masked"), CASES)
def test_same_as_the_loop(field: str, name: str, masked: bool) -> None:
    with precision("float64"):
        assert_same(layer_with(field, **OPTIONS[name]), masked, "float64")


@mostly_complex
@pytest.mark.parametrize("xla", JIT_COMPILE)
def test_same_in_several_blocks(field: str, xla: bool | str) -> None:
    with precision("float64"):
        layer = layer_with(field, return_sequences=True)
        assert_same(layer, True, "float64", steps=67, xla=xla is True)


@mostly_complex
def test_same_in_blocks_that_are_compiled_apart(
    field: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schedule, "_OVERLAP_WIDTH", UNITS)
    monkeypatch.setattr(schedule, "_BLOCK", 4)
    assert_same(layer_with(field), False, "float32", steps=11, close=1e-4)


@each_field
def test_same_in_halves(field: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedule, "_HALVED", (UNITS, 2 * UNITS))
    with precision("float64"):
        assert_same(layer_with(field), False, "float64")


@mostly_complex
def test_same_with_steps_that_are_not_known(field: str) -> None:
    layer = layer_with(field, return_sequences=True)
    inputs = keras.Input((None, FEATURES))
    model = keras.Model(inputs, layer(inputs))
    randomized(layer)
    x, y = normal(BATCH, STEPS, FEATURES), normal(BATCH, STEPS, layer.cell.width)
    twin = keras.models.clone_model(model)
    twin.set_weights(model.get_weights())
    twin.layers[1].unroll = True
    for one in (model, twin):
        one.compile(keras.optimizers.SGD(0.1), "mse", run_eagerly=one is twin)
        one.fit(x.astype("float32"), y.astype("float32"), verbose=0)
    for a, b in zip(model.get_weights(), twin.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-5)


@pytest.mark.once
@each_field
@pytest.mark.parametrize(
    ("policy", "close"), [("mixed_bfloat16", 0.15), ("mixed_float16", 0.03)]
)
def test_same_in_half_precision(field: str, policy: str, close: float) -> None:
    with precision(policy):
        # 7 steps' roundings of 2^-8 or 2^-11 each, in sums of 5 products.
        assert_same(layer_with(field), True, "float32", close=close)


@mostly_complex
def test_second_derivatives_are_right(field: str) -> None:
    with precision("float64"):
        layer = layer_with(field)
        layer.build((BATCH, STEPS, FEATURES))
        randomized(layer)
        # As at the start of training, and with the first state at 0.
        layer.cell.activation.bias.assign([0.0, 0.0, 0.5, -0.5, -0.1])
        x = normal(BATCH, STEPS, FEATURES)

        def fused(a: Any) -> Any:
            return ops.sum(layer(a) ** 3)

        def stepwise(a: Any) -> Any:
            states = layer.get_initial_state(BATCH)
            for t in range(STEPS):
                _, states = layer.cell(a[:, t], states)
            return ops.sum(states[0] ** 3)

        expected = gradients.second_derivative(stepwise, x)
        found = gradients.second_derivative(fused, x)
        largest = np.max(np.abs(expected))
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10 * largest)
        assert largest > 1e-4


@each_field
def test_states_that_stay_at_zero_have_finite_gradients(field: str) -> None:
    layer = layer_with(field, use_bias=False)
    model = model_of(layer, False)
    layer.cell.activation.bias.assign(np.array([1.0, -1.0, 0.0, 0.5, 2.0]))
    for weight in model.trainable_variables[:2]:  # nothing enters the recurrence
        weight.assign(0.0 * to_numpy(weight))
    x = [
        normal(BATCH, STEPS, FEATURES).astype("float32"),
        np.ones((BATCH, STEPS), bool),
    ]
    for gradient in gradients.of_error(model, x, normal(BATCH, 1)):
        assert np.all(np.isfinite(gradient))


@each_field
def test_what_is_not_finite_passes_through(field: str) -> None:
    layer = layer_with(field, return_sequences=True)
    x = normal(BATCH, STEPS, FEATURES).astype("float32")
    x[0, 3] = np.nan
    found = np.isfinite(to_numpy(layer(x)))
    assert not np.any(found[0, 3:])
    assert np.all(found[1:])
    assert np.all(found[0, :3])
