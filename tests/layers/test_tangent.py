"""`Projection(tangent=True)`: gradients along the orthogonal matrices."""

from typing import Any

import keras
import numpy as np
import pytest

import keras_urnn as ku
from tests import gradients
from tests.helpers import (
    BATCH,
    FEATURES,
    STEPS,
    UNITS,
    Array,
    assert_on_its_set,
    normal,
    precision,
    sequences,
    tangent_part,
    to_numpy,
)

ACTIVATIONS = {"real": "relu", "complex": "modrelu"}
each_field = pytest.mark.parametrize("field", ACTIVATIONS)


def model_of(field: str = "real", tangent: bool = True, **options: Any) -> Any:
    """A model of one layer, the same each time but for `tangent` and the options."""
    parametrization = ku.parametrizations.Projection(field=field, tangent=tangent)
    layer = ku.UnitaryRNN(
        UNITS,
        ACTIVATIONS[field],
        kernel_initializer=keras.initializers.GlorotUniform(seed=1),
        recurrent_initializer=keras.initializers.Orthogonal(seed=2),
        parametrization=parametrization,
        **options,
    )
    return keras.Sequential([keras.Input((STEPS, FEATURES)), layer])


def targets(model: Any) -> Array:
    return normal(BATCH, model.output_shape[-1], seed=3)


@each_field
@pytest.mark.parametrize("unroll", [False, True], ids=["fused", "loop"])
def test_a_layer_gives_the_tangent_part_of_its_gradient(
    field: str, unroll: bool
) -> None:
    with precision("float64"):
        models = [model_of(field, tangent, unroll=unroll) for tangent in (False, True)]
        whole, along = (
            gradients.of_error(model, sequences(), targets(model)) for model in models
        )
        R = to_numpy(models[0].layers[0].cell.recurrent_kernel)
    expected = [whole[0], tangent_part(R, whole[1]), *whole[2:]]
    for found, gradient in zip(along, expected, strict=True):
        np.testing.assert_allclose(found, gradient, rtol=0, atol=1e-14)
    assert np.max(np.abs(along[1] - whole[1])) > 1e-3, "the premise: a part is across"


def after_a_step(tangent: bool, optimizer: Any) -> Array:
    model = model_of(tangent=tangent)
    model.compile(optimizer, "mse")
    model.train_on_batch(sequences(), targets(model))
    assert_on_its_set(model.layers[0].cell)
    return to_numpy(model.layers[0].recurrent_matrix())


def test_gradient_descent_is_changed_to_the_second_order_only() -> None:
    start = to_numpy(model_of().layers[0].recurrent_matrix())
    apart, moved = [], []
    for rate in (0.2, 0.1):
        steps = [
            after_a_step(tangent, keras.optimizers.SGD(rate))
            for tangent in (False, True)
        ]
        apart.append(np.linalg.norm(steps[1] - steps[0]))
        moved.append(np.linalg.norm(steps[1] - start))
    # Half the rate is half the way, and a quarter of the distance. Of the next order
    # there is a tenth.
    assert moved[0] / moved[1] == pytest.approx(2.0, rel=0.1)
    assert apart[0] / apart[1] == pytest.approx(4.0, rel=0.2)
    assert apart[1] > 1e-4, "the premise: more than rounding"


@pytest.mark.once
def test_an_adaptive_optimizer_takes_another_step() -> None:
    rate = 1e-3
    first, second = (
        after_a_step(tangent, keras.optimizers.Adam(rate)) for tangent in (False, True)
    )
    assert np.max(np.abs(second - first)) > 0.1 * rate


@each_field
@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_training_keeps_it_unitary(field: str, policy: str) -> None:
    with precision(policy):
        model = model_of(field)
        model.compile(keras.optimizers.Adam(0.01), "mse")
        cell = model.layers[0].cell
        before = to_numpy(cell.recurrent_kernel)
        model.fit(sequences(), targets(model), epochs=3, verbose=0)
        assert cell.recurrent_kernel.dtype == "float32"
        assert model.layers[0].uses_fused_recurrence
    assert_on_its_set(cell)
    assert np.max(np.abs(to_numpy(cell.recurrent_kernel) - before)) > 1e-3


@pytest.mark.once
def test_refuses_what_is_no_boolean() -> None:
    for value in (None, 1, "yes"):
        with pytest.raises(TypeError, match="`tangent` must be True or False"):
            ku.parametrizations.Projection(tangent=value)
