"""The orthogonal matrix of theorem 1 has the contraction itself in its corner."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_urnn.equivalence.matrices.dilation import (
    dilate,
    is_orthogonal_but_for_rounding,
    norm_tolerance,
)
from tests.equivalence.networks import contraction, norms, seeds, sizes

# The SVD of up to 16 columns, to some n eps, and dot products of up to 32 terms.
ORTHOGONAL = 100 * 2.0**-52


def unitarity_error(matrix: np.ndarray) -> float:
    return float(np.abs(matrix.T @ matrix - np.eye(len(matrix))).max())


@given(sizes, norms, seeds)
def test_the_dilation_is_orthogonal_with_the_contraction_in_its_corner(
    n: int, norm: float, seed: int
) -> None:
    R = contraction(n, norm, seed)
    matrix, readout = dilate(R)
    assert matrix.shape == (2 * n, 2 * n)
    assert unitarity_error(matrix) < ORTHOGONAL
    np.testing.assert_array_equal(matrix[:n, :n], R)
    np.testing.assert_array_equal(matrix[:n, n:], readout)


@given(sizes, seeds)
def test_an_orthogonal_matrix_needs_no_added_state(n: int, seed: int) -> None:
    R = contraction(n, 1.0, seed)
    R, _ = np.linalg.qr(R + 0.1 * np.eye(n))
    single = R.astype("float32").astype("float64")
    matrix, readout = dilate(single, 2.0**-23)
    np.testing.assert_array_equal(matrix, single)
    assert readout.shape == (n, 0)


@given(st.integers(1, 8), st.integers(1, 8), seeds)
def test_it_adds_one_state_for_each_singular_value_below_1(
    ones: int, below: int, seed: int
) -> None:
    n = ones + below
    generator = np.random.default_rng(seed)
    q, _ = np.linalg.qr(generator.normal(size=(n, n)))
    p, _ = np.linalg.qr(generator.normal(size=(n, n)))
    sigma = np.concatenate([np.ones(ones), generator.uniform(0.0, 0.999, below)])
    matrix, _ = dilate((q * sigma) @ p.T, 2.0**-52)
    assert len(matrix) == n + below
    assert unitarity_error(matrix) < ORTHOGONAL


def test_the_columns_of_the_readout_are_s_q() -> None:
    R = contraction(5, 0.9, seed=4)
    _, readout = dilate(R)
    # R Rᵀ q = σ² q, and ‖s q‖² = s² = 1 - σ².
    squares = (readout**2).sum(axis=0)
    np.testing.assert_allclose(
        R @ R.T @ readout, (1.0 - squares) * readout, rtol=0, atol=ORTHOGONAL
    )
    np.testing.assert_allclose(
        readout @ readout.T, np.eye(5) - R @ R.T, rtol=0, atol=1e-14
    )


@pytest.mark.parametrize("gap", [1e-3, 1e-6, 1e-9, 1e-12])
def test_it_stays_orthogonal_just_below_norm_1(gap: float) -> None:
    matrix, _ = dilate((1.0 - gap) * np.eye(3))
    assert len(matrix) == 6
    assert unitarity_error(matrix) < ORTHOGONAL


def test_what_counts_as_1_by_rounding_costs_less_than_1e_6_of_unitarity() -> None:
    almost = (1.0 - 3.9e-7) * np.eye(512)
    assert norm_tolerance(512, 2.0**-23) > 3.9e-7
    matrix, _ = dilate(almost, 2.0**-23)
    assert len(matrix) == 512
    assert unitarity_error(matrix) < 1e-6
    assert len(dilate((1.0 - 4.1e-7) * np.eye(512), 2.0**-23).matrix) == 1024


def test_the_zero_matrix_is_dilated_to_a_swap() -> None:
    matrix, _ = dilate(np.zeros((3, 3)))
    assert unitarity_error(matrix) < ORTHOGONAL
    assert not matrix[:3, :3].any()
    assert not matrix[3:, 3:].any()


@given(sizes, st.sampled_from([0.5, 0.999, 1.0]), seeds)
def test_rounded_entries_are_orthogonal_but_for_rounding(
    n: int, norm: float, seed: int
) -> None:
    matrix = dilate(contraction(n, norm, seed)).matrix
    single = matrix.astype("float32").astype("float64")
    assert is_orthogonal_but_for_rounding(single, 2.0**-23)
    assert is_orthogonal_but_for_rounding(matrix, 2.0**-52)


@pytest.mark.parametrize("small", [1e-3, 1e-8, 1e-13])
def test_a_small_entry_is_no_rounding(small: float) -> None:
    for epsilon in (2.0**-23, 2.0**-52):
        assert not is_orthogonal_but_for_rounding(
            np.array([[1.0, small], [0.0, 1.0]]), epsilon
        )
