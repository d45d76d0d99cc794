"""The scaling for which few states are added: theorems, and what is verified."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_urnn.equivalence.matrices import least_states
from keras_urnn.equivalence.matrices.dilation import dilate, norm_tolerance
from keras_urnn.equivalence.matrices.least_states import minimize_added_states
from keras_urnn.equivalence.matrices.obstructions import Obstruction
from keras_urnn.equivalence.matrices.scaled_matrices import Scaling, scale
from tests.equivalence.matrices import Array
from tests.equivalence.networks import contraction, seeds

FLOAT64 = 2.0**-52
ROUNDING = 1e-13  # the SVD of 16 columns


def least(R: Array) -> tuple[Scaling, int]:
    """Return the scaling, and how many states its dilation adds."""
    found = minimize_added_states(R)
    assert isinstance(found, Scaling), found
    assert np.all(found.d > 0.0)
    undone = np.diag(found.d) @ found.matrix @ np.diag(1.0 / found.d)
    np.testing.assert_allclose(undone, R, rtol=1e-14, atol=0)
    assert np.linalg.norm(found.matrix, 2) <= 1.0 + ROUNDING
    matrix, readout = dilate(found.matrix, FLOAT64)
    assert np.abs(matrix.T @ matrix - np.eye(len(matrix))).max() < ROUNDING
    return found, readout.shape[1]


def permuted(R: Array, generator: np.random.Generator) -> Array:
    order = generator.permutation(len(R))
    R = R[np.ix_(order, order)]
    return R if generator.integers(2) else R.T


@given(st.integers(2, 12), seeds)
def test_a_weighted_shift_needs_one_more_state(n: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    weights = 10.0 ** generator.uniform(-3, 3, n - 1) * generator.choice([-1, 1], n - 1)
    R = permuted(np.diag(weights, k=1), generator)
    found, added = least(R)
    assert added == 1
    np.testing.assert_allclose(
        np.sort(np.abs(found.matrix[R != 0])), 1.0, rtol=0, atol=1e-14
    )


@given(st.integers(2, 12), st.sampled_from([0.3, 0.999, 1.0]), seeds)
def test_a_cycle_needs_one_more_state_unless_its_product_is_1(
    n: int, product: float, seed: int
) -> None:
    generator = np.random.default_rng(seed)
    weights = 2.0 ** generator.integers(-9, 9, n)
    weights[-1] = product / np.prod(weights[:-1])
    R = permuted(np.roll(np.diag(weights), 1, axis=1), generator)
    assert least(R)[1] == (0 if product == 1.0 else 1)


@settings(max_examples=30)  # a search each
@given(st.integers(2, 8), st.floats(0.1, 0.999), seeds)
def test_at_least_one_singular_value_becomes_1(n: int, norm: float, seed: int) -> None:
    generator = np.random.default_rng(seed)
    d = 10.0 ** generator.uniform(-2.0, 2.0, n)
    R = contraction(n, norm, seed) * d / d[:, None]
    assert least(R)[1] <= n - 1


def test_the_norm_is_one_that_to_unitary_takes() -> None:
    # Directly: which search meets such a norm depends on how a machine rounds.
    beyond, within = (scale(size * np.eye(4), np.ones(4)) for size in (1 + 5e-15, 0.9))
    assert beyond.norm > 1.0 + norm_tolerance(4, FLOAT64)
    ranks = [least_states._rank(one, FLOAT64) for one in (beyond, within)]
    assert ranks == [(True, 0), (False, 4)]


@pytest.mark.parametrize("n", [4, 8, 16])
def test_small_matrices_get_more_singular_values_at_1(n: int) -> None:
    # k at 1 are k (k + 1) / 2 conditions on n - 1 ratios of scales.
    expected = max(k for k in range(n) if k * (k + 1) // 2 <= n - 1)
    for seed in range(3):
        R = contraction(n, 0.9, 3 * seed + 1)  # of full rank
        assert least(R)[1] == n - expected


def test_large_matrices_are_not_searched_but_still_reach_norm_1() -> None:
    assert least(contraction(40, 0.9, 1))[1] <= 39


@pytest.mark.parametrize(
    ("R", "expected"),
    [
        ([[0.5, 5.0], [0.0, 0.5]], 1),
        ([[0.5]], 1),
        ([[-1.0]], 0),
        ([[0.0]], 1),
        (np.diag([0.5, 0.3, 1.0]).tolist(), 2),
        (np.zeros((3, 3)).tolist(), 3),
        ([[0.0, 1.0], [1.0, 0.0]], 0),
        ([[0.0, 3.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.5]], 2),
    ],
)
def test_these_need_so_many(R: list[list[float]], expected: int) -> None:
    assert least(np.array(R))[1] == expected


def test_components_are_scaled_by_themselves() -> None:
    R = np.zeros((6, 6))
    R[:3, :3] = contraction(3, 0.9, 1)
    R[3:, 3:] = contraction(3, 0.8, 2)
    order = np.random.default_rng(0).permutation(6)
    # Each of the two parts gets a singular value at 1.
    assert least(R[np.ix_(order, order)])[1] <= 4


def test_without_a_scaling_there_is_an_obstruction() -> None:
    R = np.zeros((3, 3))
    R[np.ix_([0, 2], [0, 2])] = [[0.0, 4.0], [1.0, 0.0]]
    found = minimize_added_states(R)
    assert isinstance(found, Obstruction)
    assert found.indices == (0, 2)
    assert found.lower_bound == pytest.approx(2.0, rel=1e-12)


@pytest.mark.parametrize("epsilon", [2.0**-52, 2.0**-23])
def test_no_weight_is_scaled_down_to_rounding(epsilon: float) -> None:
    # In scales far enough apart the norm is 1 but for rounding, whatever it is.
    found = minimize_added_states(np.array([[1.0, 1.0], [0.0, 1.0]]), epsilon)
    assert isinstance(found, Obstruction)
    assert found.excludes(1.0)
