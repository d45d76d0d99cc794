"""Skew-symmetric and -Hermitian matrices from raw weights, for maps of these.

A complex matrix `B + iC` is stored as `[B | C]`, and so are its raw weights.
"""

from typing import Any

import numpy as np
from keras import ops

from keras_urnn import _backend
from keras_urnn.linalg import Tensor
from keras_urnn.linalg.complex_matrices import parts_of
from keras_urnn.parametrizations.base import Array


def working_dtype(cell: Any) -> str:
    """The dtype that a map is computed in: float32 at least."""
    return _backend.product_dtype(cell.variable_dtype)


def skew(raw: Tensor, dtype: str) -> Tensor:
    """`A = tril(a) - tril(a)ᵀ`, without the diagonal of `a`."""
    lower = ops.tril(ops.cast(raw, dtype), k=-1)
    return lower - ops.transpose(lower)


def skew_hermitian(raw: Tensor, dtype: str) -> Tensor:
    """`A = tril(a, -1) - tril(a, -1)ᵀ + i (tril(b) + tril(b, -1)ᵀ)` of `[a | b]`."""
    a, b = ops.split(ops.cast(raw, dtype), 2, axis=-1)
    symmetric = ops.tril(b) + ops.transpose(ops.tril(b, k=-1))
    return ops.concatenate([skew(a, dtype), symmetric], axis=-1)


def raw_of(matrix: Array) -> Array:
    """Raw weights that give the skew-symmetric part of a matrix."""
    return np.tril(0.5 * (matrix - matrix.T), k=-1)


def raw_of_complex(matrix: Array) -> Array:
    """Raw weights `[a | b]` for the skew-Hermitian part of a complex matrix."""
    lower = np.tril(0.5 * (matrix - matrix.conj().T))
    return np.concatenate([lower.real, lower.imag], axis=-1)


def complex_of(matrix: Array) -> Array:
    """The complex matrix of an embedding, in float64."""
    a, b = np.split(parts_of(np.asarray(matrix, "float64")), 2, axis=-1)
    found: Array = a + 1j * b
    return found
