"""Contractive matrices from their singular value decomposition."""

from typing import Any

import keras
import numpy as np
import pytest

import keras_urnn as ku
from keras_urnn.parametrizations import BoundedSVD, Cayley
from tests.helpers import EPSILON, normal, precision, to_numpy

NORM = 0.7
EPS = EPSILON["float32"]


def cell_with(n: int, start: Any = "orthogonal", **options: Any) -> Any:
    cell = ku.ContractiveRNNCell(
        n,
        max_norm=NORM,
        parametrization=BoundedSVD(**options),
        recurrent_initializer=start,
    )
    cell.build((None, 2))
    return cell


def singular_values(cell: Any) -> Any:
    return np.linalg.svd(to_numpy(cell.recurrent_matrix()), compute_uv=False)


def cayley(a: Any, signs: Any) -> Any:
    A = np.tril(a, -1) - np.tril(a, -1).T
    eye = np.eye(len(a))
    return np.linalg.inv(eye + A) @ (eye - A) @ np.diag(signs)


def test_it_is_the_formula_of_its_docstring() -> None:
    with precision("float64"):
        cell = cell_with(5)
        for weight in cell.weights:
            if weight.trainable:
                weight.assign(normal(*weight.shape, seed=len(weight.path)))
        weights = {weight.name: to_numpy(weight) for weight in cell.weights}
        U, V = (
            cayley(
                weights[f"{part}_recurrent_skew"], weights[f"{part}_recurrent_signs"]
            )
            for part in ("left", "right")
        )
        s = weights["recurrent_singular"]
        expected = U @ np.diag(NORM / (1.0 + np.exp(-s))) @ V.T
        found = to_numpy(cell.recurrent_matrix())
        np.testing.assert_allclose(found, expected, rtol=0, atol=100 * 2.0**-52)


def test_each_factor_may_be_another_map() -> None:
    cell = cell_with(4, left="projection", right=Cayley(negative_ones=1))
    names = {weight.name for weight in cell.weights}
    assert {"left_recurrent_kernel", "right_recurrent_skew"} <= names
    config = keras.saving.serialize_keras_object(cell.parametrization)
    again = keras.saving.deserialize_keras_object(config)
    assert type(again.left) is ku.parametrizations.Projection
    assert again.right.negative_ones == 1


def test_singular_values_of_the_start_are_put_inside() -> None:
    for start, expected in (("orthogonal", 0.999), ("zeros", 0.001)):
        found = singular_values(cell_with(4, start))
        np.testing.assert_allclose(found, NORM * expected, rtol=0, atol=16 * EPS)
    inside = 0.2 * normal(4, 4)
    cell = cell_with(4, lambda shape, dtype: keras.ops.convert_to_tensor(inside, dtype))
    found = to_numpy(cell.recurrent_matrix())
    np.testing.assert_allclose(found, inside, rtol=0, atol=16 * EPS)


def test_training_comes_near_the_norm_and_near_zero() -> None:
    cell = cell_with(3)
    for s, most in ((12.0, NORM * (1 + 12 * EPS)), (-12.0, 1e-5)):
        cell.recurrent_singular.assign([s] * 3)
        assert np.max(singular_values(cell)) <= most
    assert np.min(singular_values(cell)) > 0.0


@pytest.mark.parametrize("value", [0.0, NORM])
def test_a_singular_value_at_an_end_is_missed(value: float) -> None:
    cell = cell_with(3)
    U, V = (np.linalg.qr(normal(3, 3, seed=seed))[0] for seed in (1, 2))
    matrix = U @ np.diag([0.5 * NORM, 0.2, value]) @ V.T
    for change in (cell.parametrization.assign, cell.parametrization.initialize):
        with pytest.raises(
            ValueError, match=r"not strictly between 0 and max_norm=0.7"
        ):
            change(matrix.astype("float32"))
    cell.parametrization.assign(U @ np.diag([0.5 * NORM, 0.2, 0.999 * NORM]) @ V.T)


def test_it_refuses_what_holds_no_unitary_matrices() -> None:
    for argument in ("left", "right"):
        with pytest.raises(ValueError, match=rf"`{argument}` must be .* unitary"):
            BoundedSVD(**{argument: BoundedSVD()})
    with pytest.raises(
        ValueError, match=r"`parametrization` must be one that holds un"
    ):
        ku.UnitaryRNNCell(3, parametrization="bounded_svd")


def test_a_regularizer_acts_on_the_factors_alone() -> None:
    cell = ku.ContractiveRNNCell(
        3, parametrization="bounded_svd", recurrent_regularizer="l2"
    )
    cell.build((None, 2))
    regularized = {weight.name for weight in cell.weights if weight.regularizer}
    assert regularized == {"left_recurrent_skew", "right_recurrent_skew"}
