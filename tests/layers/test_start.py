"""Where the recurrent matrix starts: on its set, whatever the initializer."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

import keras_urnn as ku
from tests.helpers import (
    FEATURES,
    UNITS,
    Array,
    assert_on_its_set,
    each_cell,
    nearest_on_set,
    normal,
    precision,
    to_numpy,
)

MATRIX = normal(UNITS, UNITS, seed=4)


def given(matrix: Array) -> Callable[..., Array]:
    """Return the initializer that gives this matrix, a callable of the user's."""
    return lambda shape, dtype: matrix.reshape(shape).astype(dtype)


INITIALIZERS: dict[str, Callable[[], Any]] = {
    "orthogonal": lambda: "orthogonal",
    "orthogonal-gain-3": lambda: keras.initializers.Orthogonal(gain=3.0),
    "zeros": lambda: "zeros",
    "ones": lambda: "ones",
    "glorot_uniform": lambda: "glorot_uniform",
    "constant-5": lambda: keras.initializers.Constant(5.0),
    "he-normal": lambda: keras.initializers.HeNormal(seed=3),
    "class": lambda: keras.initializers.HeUniform,
    "callable": lambda: given(MATRIX),
}


def start(make_cell: Callable[..., Any], initializer: Any, **arguments: Any) -> Any:
    cell = make_cell(UNITS, recurrent_initializer=initializer, **arguments)
    cell.build((None, FEATURES))
    return cell


@each_cell
@pytest.mark.parametrize("name", INITIALIZERS)
def test_starts_on_its_set(make_cell: Callable[..., Any], name: str) -> None:
    assert_on_its_set(start(make_cell, INITIALIZERS[name]()))


@each_cell
@pytest.mark.parametrize("policy", ["float64", "mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("name", ["orthogonal", "callable"])
def test_starts_on_its_set_under_every_policy(
    make_cell: Callable[..., Any], policy: str, name: str
) -> None:
    with precision(policy):
        cell = start(make_cell, INITIALIZERS[name]())
        wide = "float64" if policy == "float64" else "float32"
        assert cell.recurrent_kernel.dtype == wide
        assert_on_its_set(cell)


@pytest.mark.parametrize("max_norm", [0.1, 0.5, 1.0])
def test_starts_within_max_norm(max_norm: float) -> None:
    cell = start(ku.ContractiveRNNCell, given(MATRIX), max_norm=max_norm)
    assert cell.max_norm == max_norm
    assert_on_its_set(cell)
    # The largest singular value of `MATRIX` is cut to the bound, not below it.
    assert np.linalg.norm(to_numpy(cell.recurrent_kernel), 2) > 0.999 * max_norm


@each_cell
def test_starts_at_the_nearest_matrix(make_cell: Callable[..., Any]) -> None:
    cell = start(make_cell, given(MATRIX))
    expected = nearest_on_set(cell, MATRIX)
    # The bound for the projection in float32.
    np.testing.assert_allclose(
        to_numpy(cell.recurrent_kernel), expected, rtol=0, atol=1e-6
    )


@each_cell
def test_start_on_the_set_is_kept_as_it_is(make_cell: Callable[..., Any]) -> None:
    on_the_set = {
        ku.UnitaryRNNCell: np.eye(UNITS)[::-1],
        ku.ContractiveRNNCell: 0.5 * MATRIX / np.linalg.norm(MATRIX, 2),
    }
    matrix = on_the_set[make_cell].astype("float32")  # type: ignore[index]
    cell = start(make_cell, given(matrix))
    np.testing.assert_array_equal(to_numpy(cell.recurrent_kernel), matrix)


def test_default_start_is_haar() -> None:
    draws, n = 300, 3
    cells = [ku.UnitaryRNNCell(n) for _ in range(draws)]
    for cell in cells:
        cell.build((None, 1))
    R = np.stack([to_numpy(cell.recurrent_kernel) for cell in cells])
    # Under Haar's measure both determinants are equally likely and an entry of a 3 × 3
    # matrix is uniform in [-1, 1]; five standard errors each.
    positive = np.mean(np.linalg.det(R) > 0)
    assert abs(positive - 0.5) < 5 * np.sqrt(0.25 / draws)
    for i, j in np.ndindex(n, n):
        entry = R[:, i, j]
        assert abs(np.mean(entry)) < 5 * np.sqrt(1 / n / draws)
        assert abs(np.mean(entry**2) - 1 / n) < 5 * np.sqrt((1 / 5 - 1 / 9) / draws)


@each_cell
def test_cells_given_one_parametrization_share_no_weights(
    make_cell: Callable[..., Any],
) -> None:
    shared = ku.parametrizations.Projection(method="svd")
    first, second = (make_cell(UNITS, parametrization=shared) for _ in range(2))
    for cell in (first, second):
        cell.build((None, FEATURES))
        assert cell.parametrization is not shared
        assert cell.parametrization.method == "svd"
    before = to_numpy(second.recurrent_matrix())
    first.recurrent_kernel.assign(np.zeros((UNITS, UNITS)))
    np.testing.assert_array_equal(to_numpy(second.recurrent_matrix()), before)
    assert np.max(np.abs(before)) > 0.1


@each_cell
@pytest.mark.parametrize("use_bias", [True, False])
def test_order_of_the_weights(make_cell: Callable[..., Any], use_bias: bool) -> None:
    cell = make_cell(UNITS, use_bias=use_bias, learn_initial_state=True)
    cell.build((None, FEATURES))
    names = ["kernel", "recurrent_kernel", "bias", "initial_state"]
    shapes = [(FEATURES, UNITS), (UNITS, UNITS), (UNITS,), (UNITS,)]
    if not use_bias:
        del names[2], shapes[2]
    assert [weight.name for weight in cell.weights] == names
    assert [tuple(weight.shape) for weight in cell.weights] == shapes
    assert len(cell.trainable_weights) == len(names)


@each_cell
def test_initializers_of_the_other_weights(make_cell: Callable[..., Any]) -> None:
    cell = make_cell(
        UNITS,
        kernel_initializer=keras.initializers.Constant(2.0),
        bias_initializer="ones",
        learn_initial_state=True,
    )
    cell.build((None, FEATURES))
    assert np.all(to_numpy(cell.kernel) == 2.0)
    assert np.all(to_numpy(cell.bias) == 1.0)
    assert np.all(to_numpy(cell.learned_initial_state) == 0.0)


@each_cell
@pytest.mark.parametrize("learned", [False, True])
def test_starts_where_it_is_told_to(
    make_cell: Callable[..., Any], learned: bool
) -> None:
    start = [1.0, -2.0, 0.0, 0.5, 3.0]
    cell = make_cell(UNITS, resting_state=np.array(start), learn_initial_state=learned)
    cell.build((None, FEATURES))
    (state,) = cell.get_initial_state(batch_size=2)
    np.testing.assert_array_equal(to_numpy(state), [start, start])
    if learned:
        cell.learned_initial_state.assign(np.ones(UNITS))
        np.testing.assert_array_equal(to_numpy(cell.get_initial_state(1)[0]), 1.0)
