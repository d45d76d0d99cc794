"""The exponential of skew-symmetric matrices is right in its entries and angles."""

import numpy as np
import pytest
import scipy.linalg
from keras import ops

from keras_urnn import _backend
from keras_urnn.linalg.exponential import skew_exponential
from tests.helpers import EPSILON, Array, normal, precision, to_numpy

NORMS = [0.0, 0.1, 3.0, 7.8, 100.0, 1000.0]


def skew(n: int, norm: float, dtype: str) -> Array:
    """A skew-symmetric matrix whose entries `dtype` holds."""
    lower = np.tril(normal(n, n, seed=n), k=-1)
    A = lower - lower.T
    return (A * norm / np.linalg.norm(A, 2)).astype(dtype)


def by_eigenvectors(A: Array) -> Array:
    """`exp(A)` from those of the Hermitian matrix `iA`.

    SciPy 1.17's own, of two or three rows, is off by 40 roundings at norm 7.8.
    """
    eigenvalues, V = np.linalg.eigh(1j * A)
    return np.real((V * np.exp(-1j * eigenvalues)) @ V.conj().T)


ORACLES = {"float32": scipy.linalg.expm, "float64": by_eigenvectors}


def exponential(A: Array) -> Array:
    # Compiled, as a training step is.
    return to_numpy(_backend.compiled(skew_exponential)(ops.convert_to_tensor(A)))


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("n", [2, 3, 17])
@pytest.mark.parametrize("dtype", ORACLES)
def test_entries_and_angles_are_right(n: int, norm: float, dtype: str) -> None:
    with precision(dtype):
        A = skew(n, norm, dtype)
        found, exact = exponential(A), ORACLES[dtype](A.astype("float64"))
    # By a rounding of A itself it turns so much. In float64 the oracle rounds, too.
    rounding = max(1.0, norm) * EPSILON[dtype] * (1 if dtype == "float32" else n)
    np.testing.assert_allclose(found, exact, rtol=0, atol=2 * rounding)
    between = np.angle(np.linalg.eigvals(exact.T @ found))
    assert np.max(np.abs(between)) <= 4 * rounding
    defect = np.max(np.abs(found.T @ found - np.eye(n)))
    assert defect <= 2 * n * EPSILON[dtype]


@pytest.mark.once
@pytest.mark.parametrize("norm", [1e5, 1e7, 1e30])
def test_a_matrix_of_any_size_gives_a_rotation(norm: float) -> None:
    found = exponential(skew(8, norm, "float32"))
    assert np.max(np.abs(found.T @ found - np.eye(8))) <= 4 * 8 * EPSILON["float32"]
    assert np.linalg.det(found) == pytest.approx(1.0)


@pytest.mark.once
def test_what_is_not_finite_is_seen() -> None:
    assert not np.all(np.isfinite(exponential(np.full((3, 3), np.nan, "float32"))))
