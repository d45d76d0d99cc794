"""Hadamard: the matrices that are constructed, and its surrogate of a gradient."""

from typing import Any

import keras
import numpy as np
import pytest

import keras_urnn as ku
from tests import gradients
from tests.helpers import BATCH, FEATURES, STEPS, Array, normal, precision, to_numpy
from tests.layers.test_systems import Weights, differences, outputs

N = 12


def cell_of(units: int) -> Any:
    cell = ku.UnitaryRNNCell(units, parametrization="hadamard")
    cell.build((None, 2))
    return cell


@pytest.mark.once
def test_orders_up_to_128_exist_but_four() -> None:
    missing = []
    for order in (1, 2, *range(4, 129, 4)):
        try:
            cell = cell_of(order)
        except ValueError:
            missing.append(order)
            continue
        R = to_numpy(cell.recurrent_matrix())
        np.testing.assert_allclose(np.abs(R), order**-0.5, rtol=0, atol=1e-6)
        np.testing.assert_allclose(R @ R.T, np.eye(order), rtol=0, atol=1e-5)
    assert missing == [52, 92, 100, 116]


@pytest.mark.once
@pytest.mark.parametrize("order", [3, 6, 52])
def test_an_order_that_is_not_constructed_is_refused(order: int) -> None:
    with pytest.raises(ValueError, match=rf"`units` must be .*={order}\. .*power of"):
        cell_of(order)


@pytest.mark.once
def test_the_sign_of_zero_is_1() -> None:
    cell = cell_of(4)
    found = []
    for value in (0.0, 1.0, -1.0):
        cell.recurrent_signs.assign(np.full(4, value))
        found.append(to_numpy(cell.recurrent_matrix()))
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], -found[2])


def test_outputs_are_the_papers_and_gradients_go_straight_through_the_signs() -> None:
    """In float64 NumPy the matrix is linear in the signs: their gradient is that."""
    x = normal(BATCH, STEPS, FEATURES).astype("float32")
    y = normal(BATCH, STEPS, N, seed=1).astype("float32")
    with precision("float64"):
        layer = ku.UnitaryRNN(N, parametrization="hadamard", return_sequences=True)
        model = keras.Sequential([keras.Input((STEPS, FEATURES)), layer])
        raw = normal(N, seed=2)
        layer.cell.recurrent_signs.assign(np.abs(raw))
        H = to_numpy(layer.recurrent_matrix()) * np.sqrt(N)
        layer.cell.recurrent_signs.assign(raw)
        found, computed = to_numpy(layer(x)), gradients.of_error(model, x, y)
        weights = {one.name: to_numpy(one) for one in layer.trainable_weights}
    weights["recurrent_signs"] = np.sign(raw)

    def states(weights: Weights) -> Array:
        return outputs(weights, np.diag(weights["recurrent_signs"]) @ H / N**0.5, x)

    np.testing.assert_allclose(found, states(weights), rtol=0, atol=1e-13)
    for name, gradient in zip(weights, computed, strict=True):
        expected = differences(
            lambda moved: float(np.mean((states(moved) - y) ** 2)), weights, name
        )
        np.testing.assert_allclose(gradient, expected, rtol=0, atol=1e-8)
        assert np.max(np.abs(gradient)) > 1e-4
