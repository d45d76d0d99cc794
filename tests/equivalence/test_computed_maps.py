"""Conversion, certificate and pruning of cells that compute their matrix."""

from typing import Any

import keras
import numpy as np
import pytest

import keras_urnn as ku
from keras_urnn.parametrizations import Cayley
from tests.helpers import COMPUTED, each_full, normal, to_numpy

BOUND, STEPS, FEATURES = 1.0, 12, 3
# Rounding the matrix to 4 n eps moves the states by some ten times as much.
CLOSE = 1e-5


def original(activation: str = "relu", units: int = 4) -> Any:
    layer = ku.ContractiveRNN(units, activation, max_norm=0.9, return_sequences=True)
    layer.build((None, STEPS, FEATURES))
    layer.cell.bias.assign(0.3 * normal(units, seed=1))
    return layer


def inputs() -> Any:
    return np.clip(normal(5, STEPS, FEATURES), -BOUND, BOUND).astype("float32")


def convert(target: Any, parametrization: Any) -> Any:
    return ku.to_unitary(target, input_bound=BOUND, parametrization=parametrization)


def verdict(one: Any, other: Any, **arguments: Any) -> str:
    arguments = {"input_bound": BOUND, "steps": STEPS, **arguments}
    return str(ku.verify_equivalence(one, other, **arguments).verdict)


def assert_same_outputs(one: Any, other: Any) -> None:
    x = inputs()
    np.testing.assert_allclose(to_numpy(one(x)), to_numpy(other(x)), rtol=0, atol=CLOSE)


@each_full
@pytest.mark.parametrize("activation", ["relu", "hard_tanh"])
def test_a_layer_is_converted_verified_and_pruned(name: str, activation: str) -> None:
    layer = original(activation)
    unitary = convert(layer, COMPUTED[name].make())
    kind = type(COMPUTED[name].make())
    assert type(unitary.parametrization) is kind
    assert unitary.units == 8
    assert_same_outputs(layer, unitary)
    assert verdict(layer, unitary) == verdict(unitary, layer) == "equivalent"
    pruned = ku.prune_inactive(unitary, input_bound=BOUND)
    assert type(pruned) is ku.ContractiveRNN
    assert pruned.units == 4
    assert type(pruned.parametrization) is ku.parametrizations.Projection
    assert_same_outputs(layer, pruned)
    assert verdict(unitary, pruned) == "equivalent"


@each_full
def test_a_model_and_a_cell_are_converted(name: str) -> None:
    layer = original()
    model = keras.Sequential(
        [keras.Input((STEPS, FEATURES)), layer, keras.layers.Dense(2)]
    )
    converted = convert(model, name)
    assert type(converted.layers[0].parametrization) is type(COMPUTED[name].make())
    assert_same_outputs(model, converted)
    assert verdict(model, converted) == "equivalent"
    cell = convert(layer.cell, name)
    assert verdict(layer.cell, cell) == "equivalent"


@each_full
def test_a_unitary_layer_changes_its_parametrization(name: str) -> None:
    layer = ku.UnitaryRNN(4, return_sequences=True)
    layer.build((None, STEPS, FEATURES))
    there = convert(layer, name)
    assert type(there.parametrization) is type(COMPUTED[name].make())
    assert there.units == 4
    assert_same_outputs(layer, there)
    assert verdict(layer, there) == verdict(there, layer) == "equivalent"
    back = convert(there, "projection")
    assert type(back.parametrization) is ku.parametrizations.Projection
    kept = convert(there, None)
    np.testing.assert_array_equal(
        to_numpy(kept.recurrent_matrix()), to_numpy(there.recurrent_matrix())
    )
    assert type(kept.parametrization) is type(there.parametrization)


@pytest.mark.parametrize("signs", [0, 1, 3])
def test_the_added_states_are_turned_to_the_determinant_of_the_map(signs: int) -> None:
    layer = original()
    unitary = convert(layer, Cayley(negative_ones=signs))
    matrix = to_numpy(unitary.recurrent_matrix())
    assert np.linalg.det(matrix) == pytest.approx((-1.0) ** signs, rel=1e-5)
    assert_same_outputs(layer, unitary)
    assert verdict(layer, unitary) == "equivalent"


def test_a_matrix_that_nothing_can_turn_is_refused() -> None:
    layer = ku.UnitaryRNN(3, recurrent_initializer="identity")
    layer.build((None, STEPS, FEATURES))
    with pytest.raises(ValueError, match=r"`parametrization` must be .*Cayley, which"):
        convert(layer, Cayley(negative_ones=1))
    with pytest.raises(ValueError, match=r"`parametrization` must be one of"):
        convert(layer, "qr")


@each_full
@pytest.mark.parametrize("weight", ["kernel", "bias", "matrix"])
def test_a_converted_layer_that_was_changed_is_not_equivalent(
    name: str, weight: str
) -> None:
    layer = original()
    unitary = convert(layer, name)
    cell = unitary.cell
    if weight == "matrix":
        variable = next(one for one in cell.weights if "recurrent" in one.name)
    else:
        variable = getattr(cell, weight)
    # The entry is one of the first states, which the original has.
    index = (1, 0) if len(variable.shape) == 2 else (0,)
    value = to_numpy(variable)
    value[index] += 1e-3
    variable.assign(value)
    assert verdict(layer, unitary) != "equivalent"
    assert verdict(unitary, layer) != "equivalent"


@each_full
def test_pruning_keeps_the_outputs_of_a_trained_layer(name: str) -> None:
    layer = ku.UnitaryRNN(5, parametrization=name, output_units=3)
    layer.build((None, STEPS, FEATURES))
    # The last two states are off: no input, and a bias below what they are sent.
    kernel, bias = to_numpy(layer.cell.kernel), np.zeros(5)
    kernel[:, 3:], bias[3:] = 0.0, -50.0
    layer.cell.kernel.assign(kernel)
    layer.cell.bias.assign(bias)
    pruned = ku.prune_inactive(layer, input_bound=BOUND, horizon=STEPS)
    assert pruned.units == 3
    assert_same_outputs(layer, pruned)
