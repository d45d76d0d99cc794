"""The minimal part has the Hankel matrix's rank; its eigenspaces are counted."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_urnn.theory.decisions import Decisions
from keras_urnn.theory.minimal_part import largest_multiplicity, minimal_matrix
from tests.theory.cells import Array, jordan, orthogonal

seeds = st.integers(0, 2**32 - 1)


def exact(size: int) -> Decisions:
    return Decisions(size, 2.0**-52)


@given(st.integers(1, 3), st.integers(0, 3), st.integers(0, 3), seeds)
def test_what_is_not_reached_or_not_seen_is_left_out(
    m: int, unreached: int, unseen: int, seed: int
) -> None:
    # In row vectors: x drives the first two parts, the outputs see the last two of
    # (unseen, minimal, unreached); what is driven leads to what is driven only.
    generator = np.random.default_rng(seed)
    n = unseen + m + unreached
    R = generator.normal(size=(n, n)) / (2.0 * np.sqrt(n))
    first, last = slice(0, unseen), slice(unseen + m, n)
    R[: unseen + m, last] = 0.0
    R[first, unseen:] = 0.0
    K, C = generator.normal(size=(2, n)), generator.normal(size=(n, 2))
    K[:, last], C[first] = 0.0, 0.0
    turn = orthogonal(n, seed)
    decisions = exact(n)
    A = minimal_matrix(K @ turn, turn.T @ R @ turn, turn.T @ C, decisions)
    middle = slice(unseen, unseen + m)
    expected = np.sort_complex(np.linalg.eigvals(R[middle, middle]))
    assert A.shape == (m, m)
    # Eigenvalues of 3 x 3 normal draws: errors of n eps times a condition below 1e6.
    np.testing.assert_allclose(
        np.sort_complex(np.linalg.eigvals(A)), expected, rtol=0, atol=1e-8
    )
    hankel = np.block(
        [[K @ np.linalg.matrix_power(R, i + j) @ C for j in range(n)] for i in range(n)]
    )
    assert np.linalg.matrix_rank(hankel, tol=1e-11) <= m


def test_a_system_without_inputs_has_no_minimal_part() -> None:
    A = minimal_matrix(np.zeros((1, 3)), orthogonal(3), np.eye(3), exact(3))
    assert A.shape == (0, 0)
    assert largest_multiplicity(A, exact(3)) is None


def test_a_feature_in_other_units_reaches_as_much() -> None:
    K = np.diag([1.0, 1e-12])
    A = minimal_matrix(K, 0.5 * np.eye(2), np.eye(2), exact(2))
    assert A.shape == (2, 2)


@pytest.mark.parametrize(
    ("matrix", "value", "multiplicity"),
    [
        (jordan(0.5, 1), 0.5, 1),
        (jordan(0.5, 1, 1, 1), 0.5, 3),
        (jordan(0.5, 4), 0.5, 1),
        (jordan(0.5, 2, 1), 0.5, 2),
        (jordan(0.0, 3, 2, 1), 0.0, 3),
        (jordan(0.0, 8), 0.0, 1),
        (np.diag([0.5, 0.5, 0.3]), 0.5, 2),
        (np.diag([1.0, 1.0, 0.3]), 0.3, 1),
        (np.zeros((2, 2)), 0.0, 2),
    ],
)
def test_multiplicities_of_known_matrices(
    matrix: Array, value: float, multiplicity: int
) -> None:
    for basis in (np.eye(len(matrix)), orthogonal(len(matrix), 2)):
        found = largest_multiplicity(basis.T @ matrix @ basis, exact(len(matrix)))
        assert found is not None
        assert found.multiplicity == multiplicity
        # An eigenvalue of a block of size k is only known up to eps^(1/k).
        assert abs(found.value - value) < 0.05


def test_a_complex_pair_counts_over_the_complex_numbers() -> None:
    turn = 0.5 * np.array([[0.6, 0.8], [-0.8, 0.6]])
    found = largest_multiplicity(np.kron(np.eye(2), turn), exact(4))
    assert found is not None
    assert found.multiplicity == 2
    assert abs(abs(found.value) - 0.5) < 1e-12
    assert abs(found.value.imag) == pytest.approx(0.4)


@pytest.mark.parametrize("n", [1, 4, 16, 32])
def test_the_unit_circle_is_not_inside(n: int) -> None:
    assert largest_multiplicity(orthogonal(n), exact(n)) is None
    single = orthogonal(n).astype("float32").astype("float64")
    assert largest_multiplicity(single, Decisions(n, 2.0**-23)) is None
    assert largest_multiplicity(2.0 * orthogonal(n), exact(n)) is None


def test_close_decisions_are_noted() -> None:
    near = np.diag([0.5, 0.5 + 1e-6])
    decisions = Decisions(2, 2.0**-23)
    found = largest_multiplicity(near, decisions)
    assert found is not None
    assert found.multiplicity == 1
    assert len(decisions.doubts) == 1
    clear = Decisions(2, 2.0**-23)
    largest_multiplicity(np.diag([0.5, 0.6]), clear)
    assert not clear.doubts
