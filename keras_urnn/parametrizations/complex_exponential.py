"""The exponential of a skew-Hermitian `A`, and the `A` of a unitary matrix."""

from functools import partial
from typing import Any

import numpy as np

from keras_urnn.linalg import Tensor
from keras_urnn.linalg.complex_matrices import embedding
from keras_urnn.linalg.exponential import skew_exponential
from keras_urnn.parametrizations.base import Array, initial_matrix, initializers
from keras_urnn.parametrizations.skew import (
    complex_of,
    raw_of_complex,
    skew_hermitian,
    working_dtype,
)


def add_weights(cell: Any) -> None:
    """Create the raw weights `[a | b]` of a cell."""
    start = partial(initial_matrix, cell, cell.recurrent_projection("auto"))
    (raw,) = initializers(1, start, lambda matrix: [weights_of(matrix)])
    cell.recurrent_skew = cell.add_weight(
        shape=(cell.units, cell.width),
        name="recurrent_skew",
        initializer=raw,
        regularizer=cell.recurrent_regularizer,
        autocast=False,
    )


def matrix_from(cell: Any) -> Tensor:
    """`R = exp(A)`, as a real matrix, in float32 at least."""
    A = skew_hermitian(cell.recurrent_skew, working_dtype(cell))
    return embedding(skew_exponential(A))


def weights_of(matrix: Array) -> Array:
    """The raw weights, of angles in [-π, π], that give a matrix, an embedding.

    From the complex Schur form `Z T Zᴴ`, where `T` is diagonal, as `R` is unitary: its
    entries are the eigenvalues `exp(iθ)`, and `A = Z diag(iθ) Zᴴ`.
    """
    import scipy.linalg

    T, Z = scipy.linalg.schur(complex_of(matrix), output="complex")
    return raw_of_complex(Z * (1j * np.angle(np.diag(T))) @ Z.conj().T)
