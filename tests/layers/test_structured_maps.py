"""The fused recurrence steps by `apply` where a map says that this is cheaper."""

from typing import Any

import numpy as np
import pytest
from keras import ops

import keras_urnn as ku
from keras_urnn.linalg import EPSILON
from keras_urnn.parametrizations import householder
from tests.helpers import BATCH, FEATURES, STEPS, UNITS, normal, precision, to_numpy
from tests.layers.test_fused import (
    CLOSE,
    JIT_COMPILE,
    OPTIONS,
    each_masked,
    model_of,
    plain_twin,
    same_gradients,
)
from tests.layers.turns import Turns

OF_MAPS = ("turns", "recurrent_vectors")  # the weights that the maps are made of


def layer_with(parametrization: Any = None, units: int = UNITS, **options: Any) -> Any:
    return ku.UnitaryRNN(units, parametrization=parametrization or Turns(), **options)


def assert_same(
    layer: Any, masked: bool, dtype: str, steps: int = STEPS, xla: bool = False
) -> None:
    """Outputs and gradients are those of Keras' loop over the same cell."""
    assert layer.uses_fused_recurrence, layer.plain_recurrence_reason
    layer.cell.parametrization.matrix = None  # which needs not be formed
    ours = model_of(layer, masked, steps)
    theirs = plain_twin(layer, masked, steps, FEATURES)
    assert layer.cell.parametrization.is_structured()
    expected, largest = same_gradients(ours, theirs, dtype, CLOSE[dtype], steps, xla)
    names = [weight.name for weight in ours.trainable_weights]
    (of_map,) = (expected[names.index(n)] for n in names if n in OF_MAPS)
    assert np.max(np.abs(of_map)) > 1e-3 * largest


def test_steps_by_apply_are_products_with_the_matrix() -> None:
    layer = layer_with()
    layer.build((BATCH, STEPS, FEATURES))
    parametrization = layer.cell.parametrization
    h = normal(BATCH, UNITS).astype("float32")
    matrix, prepared = to_numpy(layer.recurrent_matrix()), parametrization.prepare()
    assert ku.diagnostics.unitarity_error(layer) < 1e-6
    for step, expected in (
        (parametrization.apply, matrix),
        (parametrization.apply_transposed, matrix.T),
    ):
        found = to_numpy(step(ops.convert_to_tensor(h), prepared))
        np.testing.assert_allclose(found, h @ expected, rtol=0, atol=1e-6)


@each_masked
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"return_sequences": True, "return_state": True, "go_backwards": True},
        OPTIONS["checkpoint-sequences"],
        OPTIONS["scaled"],
    ],
    ids=lambda options: "-".join(options) or "last",
)
def test_same_as_the_loop(options: dict[str, Any], masked: bool) -> None:
    with precision("float64"):
        assert_same(layer_with(**options), masked, "float64")


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Two reflections that a narrow layer, too, steps by."""
    monkeypatch.setattr(householder, "STRUCTURED_FROM", 1)
    return ku.parametrizations.Householder(reflections=2)


def test_same_for_few_reflections(few: Any) -> None:
    with precision("float64"):
        assert_same(layer_with(few, 16, return_sequences=True), False, "float64")


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16", "mixed_float16"])
def test_few_reflections_are_products_with_the_matrix(few: Any, policy: str) -> None:
    layer = layer_with(few, 16, dtype=policy)
    layer.build((BATCH, STEPS, FEATURES))
    cell = layer.cell
    prepared, h = cell.prepared(), ops.eye(16, dtype=cell.compute_dtype)
    matrix = to_numpy(layer.recurrent_matrix())
    # Some roundings of entries of 1 at most, of the dtype of the step.
    close = 4 * EPSILON[cell.compute_dtype]
    for step, expected in (
        (cell.parametrization.apply, matrix),
        (cell.parametrization.apply_transposed, matrix.T),
    ):
        found = to_numpy(ops.cast(step(h, prepared), "float32"))
        np.testing.assert_allclose(found, expected, rtol=0, atol=close)
        assert np.max(np.abs(found.T @ found - np.eye(16))) <= 2 * close


@pytest.mark.once
def test_narrow_layers_and_many_reflections_step_by_a_matrix() -> None:
    for units, reflections, is_structured in (
        (128, 2, False),
        (256, 2, True),
        (256, 32, True),
        (256, 33, False),
    ):
        few = ku.parametrizations.Householder(reflections)
        cell = ku.UnitaryRNNCell(
            units, parametrization=few, recurrent_initializer="identity"
        )
        cell.build((None, 1))
        assert cell.parametrization.is_structured() == is_structured
        assert isinstance(cell.parametrization.prepare(), tuple) == is_structured


@pytest.mark.parametrize("xla", JIT_COMPILE)
def test_same_in_several_blocks(xla: bool | str) -> None:
    assert_same(layer_with(), False, "float32", steps=67, xla=xla is True)
