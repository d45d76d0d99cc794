"""The exponential of skew matrices is right in its entries and angles.

Complex ones, skew-Hermitian, are passed and returned as `[Re | Im]`.
"""

from typing import Any

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


def skew_hermitian(n: int, norm: float, dtype: str) -> Array:
    """A skew-Hermitian matrix whose entries `dtype` holds."""
    A = normal(n, n, seed=n) + 1j * normal(n, n, seed=n + 1)
    A = A - A.conj().T
    return (A * norm / np.linalg.norm(A, 2)).astype(COMPLEX[dtype])


def by_eigenvectors(A: Array) -> Array:
    """`exp(A)` from those of the Hermitian matrix `iA`.

    SciPy 1.17's own, of two or three rows, is off by 40 roundings at norm 7.8.
    """
    eigenvalues, V = np.linalg.eigh(1j * A)
    found = (V * np.exp(-1j * eigenvalues)) @ V.conj().T
    return found if np.iscomplexobj(A) else found.real


ORACLES = {"float32": scipy.linalg.expm, "float64": by_eigenvectors}
COMPLEX = {"float32": "complex64", "float64": "complex128"}


def exponential(A: Array) -> Array:
    given = np.hstack([A.real, A.imag]) if np.iscomplexobj(A) else A
    # Compiled, as a training step is.
    of_given = _backend.compiled(skew_exponential)(ops.convert_to_tensor(given))
    parts = np.split(to_numpy(of_given), given.shape[1] // len(given), axis=1)
    return parts[0] + 1j * parts[1] if np.iscomplexobj(A) else parts[0]


CASES = [
    *((skew, n, norm) for n in (2, 3, 17) for norm in NORMS),
    *((skew_hermitian, n, norm) for n in (1, 8) for norm in (0.1, 7.8, 1000.0)),
]


@pytest.mark.parametrize(("make", "n", "norm"), CASES)
@pytest.mark.parametrize("dtype", ORACLES)
def test_entries_and_angles_are_right(
    make: Any, n: int, norm: float, dtype: str
) -> None:
    with precision(dtype):
        A = make(n, norm, dtype)
        wide = A.astype(COMPLEX["float64"] if np.iscomplexobj(A) else "float64")
        found, exact = exponential(A), ORACLES[dtype](wide)
    # By a rounding of A itself it turns so much. In float64 the oracle rounds, too.
    rounding = max(1.0, norm) * EPSILON[dtype] * (1 if dtype == "float32" else n)
    np.testing.assert_allclose(found, exact, rtol=0, atol=2 * rounding)
    between = np.angle(np.linalg.eigvals(exact.conj().T @ found))
    assert np.max(np.abs(between)) <= 4 * rounding
    defect = np.max(np.abs(found.conj().T @ found - np.eye(n)))
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
