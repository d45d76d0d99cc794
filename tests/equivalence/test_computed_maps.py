"""Conversion, certificate and pruning of cells that compute their matrix."""

from typing import Any

import keras
import numpy as np
import pytest

import keras_urnn as ku
from keras_urnn.parametrizations import Cayley, Householder
from tests.helpers import (
    COMPUTED,
    PARAMETRIZATIONS,
    Row,
    each_full,
    each_of,
    normal,
    to_numpy,
)

BOUND, STEPS, FEATURES = 1.0, 12, 3
# Rounding the matrix to 4 n eps moves the states by some ten times as much.
CLOSE = 1e-5


def refusal_of(row: Row) -> str | None:
    """What `to_unitary` says of a map that can't hold its matrix; None if it can.

    A map of one determinant can: the added states are turned to it.
    """
    kind = type(row.make()).__name__
    if "unitary" not in row.sets:
        return f"`parametrization` must be one that holds unitary .*{kind}, which holds"
    if row.make().field == "complex":
        return f"`parametrization` must be of real numbers.*{kind} of complex ones"
    if row.is_thin:
        return f"one that can give the orthogonal matrix.*{kind}, which can't give a m"
    return None


REFUSALS = {name: refusal_of(row) for name, row in PARAMETRIZATIONS.items()}
each_held = each_of(name for name, words in REFUSALS.items() if words is None)
each_refused = each_of(name for name, words in REFUSALS.items() if words is not None)


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


@each_refused
def test_a_map_that_cannot_hold_the_matrix_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=REFUSALS[name]):
        convert(original(), PARAMETRIZATIONS[name].make())


@each_held
@pytest.mark.parametrize("activation", ["relu", "hard_tanh"])
def test_a_layer_is_converted_verified_and_pruned(name: str, activation: str) -> None:
    layer = original(activation)
    given = PARAMETRIZATIONS[name].make()
    unitary = convert(layer, given)
    assert type(unitary.parametrization) is type(given)
    assert unitary.parametrization.get_config() == given.get_config()
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
    converted = convert(model, COMPUTED[name].make())
    assert type(converted.layers[0].parametrization) is type(COMPUTED[name].make())
    assert_same_outputs(model, converted)
    assert verdict(model, converted) == "equivalent"
    cell = convert(layer.cell, COMPUTED[name].make())
    assert verdict(layer.cell, cell) == "equivalent"


@each_full
def test_a_unitary_layer_changes_its_parametrization(name: str) -> None:
    layer = ku.UnitaryRNN(4, return_sequences=True)
    layer.build((None, STEPS, FEATURES))
    there = convert(layer, COMPUTED[name].make())
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
    unitary = convert(layer, COMPUTED[name].make())
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
    layer = ku.UnitaryRNN(5, parametrization=COMPUTED[name].make(), output_units=3)
    layer.build((None, STEPS, FEATURES))
    # The last two states are off: no input, and a bias below what they are sent.
    kernel, bias = to_numpy(layer.cell.kernel), np.zeros(5)
    kernel[:, 3:], bias[3:] = 0.0, -50.0
    layer.cell.kernel.assign(kernel)
    layer.cell.bias.assign(bias)
    pruned = ku.prune_inactive(layer, input_bound=BOUND, horizon=STEPS)
    assert pruned.units == 3
    assert_same_outputs(layer, pruned)


def test_pruning_leaves_a_map_that_fewer_states_cannot_have() -> None:
    layer = ku.UnitaryRNN(5, parametrization=Householder(5), output_units=3)
    layer.build((None, STEPS, FEATURES))
    matrix = np.eye(5)
    matrix[:3, :3] = np.linalg.qr(normal(3, 3))[0]
    layer.cell.parametrization.assign(matrix)
    kernel, bias = to_numpy(layer.cell.kernel), np.zeros(5)
    kernel[:, 3:], bias[3:] = 0.0, -50.0
    layer.cell.kernel.assign(kernel)
    layer.cell.bias.assign(bias)
    pruned = ku.prune_inactive(layer, input_bound=BOUND, horizon=STEPS)
    assert type(pruned) is ku.UnitaryRNN
    assert type(pruned.parametrization) is ku.parametrizations.Projection
    assert_same_outputs(layer, pruned)
    with pytest.raises(ValueError, match=r"Cayley, which can't give a matrix of 3 st"):
        convert(pruned, Cayley(negative_ones=4))
