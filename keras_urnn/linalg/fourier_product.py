"""The uRNN's product of phases, Fourier transforms, reflections and a permutation.

    R = D₁ F R₁ᵀ Πᵀ D₂ F⁻¹ R₂ᵀ D₃

acts from the right on rows of complex numbers, which are given as `[Re | Im]`.
"""

from typing import Any, NamedTuple

import keras
import numpy as np
import numpy.typing as npt
from keras import ops

from keras_urnn._backend.complex_numbers import (
    columns,
    complex_rows,
    fft,
    inverse_fft,
    real_rows,
    reflected,
)
from keras_urnn.linalg.iterations import Tensor

Factors = tuple[Tensor, Tensor]


class Permutation(NamedTuple):
    """The columns that rows are put in order by, and those that undo it."""

    order: npt.NDArray[Any]
    inverse: npt.NDArray[Any]


def permutation(seed: int, n: int) -> Permutation:
    """That of NumPy's `RandomState(seed).permutation(n)`, whose numbers never change.

    NumPy has frozen this generator, so that files which were saved stay right.
    """
    order = np.random.RandomState(seed).permutation(n)
    return Permutation(order, np.argsort(order))


def multiplied(h: Tensor, factors: Factors, by: Permutation) -> Tensor:
    """`h R`, in the dtype of `h`; it is computed in float32 at least.

    Args:
        h: tensor `[Re | Im]` of shape `(rows, 2n)`.
        factors: the diagonals of `D₁`, `D₂` and `D₃`, as `[cos θ | sin θ]` of shape
            `(3, 2n)`, and the unit vectors of `R₁` and `R₂`, `[Re | Im]` of shape
            `(2, 2n)`.
        by: the permutation, `(h Πᵀ)_j = h_{order[j]}`.
    """
    z, (d1, d2, d3), (u1, u2) = _as_complex(h, *factors)
    z = reflected(fft(z * d1), u1)
    z = inverse_fft(columns(z, by.order) * d2)
    return ops.cast(real_rows(reflected(z, u2) * d3), h.dtype)


def multiplied_back(h: Tensor, factors: Factors, by: Permutation) -> Tensor:
    """`h Rᵀ`: by the factors' conjugate transposes, from the last to the first.

    The transpose of an embedding is that of the conjugate transpose.
    """
    z, diagonals, (u1, u2) = _as_complex(h, *factors)
    d1, d2, d3 = map(ops.conj, diagonals)
    z = fft(reflected(z * d3, u2)) * d2
    z = reflected(columns(z, by.inverse), u1)
    return ops.cast(real_rows(inverse_fft(z) * d1), h.dtype)


def _as_complex(*rows: Tensor) -> tuple[Any, list[Any], list[Any]]:
    given = keras.backend.standardize_dtype(rows[0].dtype)
    dtype = "float64" if given == "float64" else "float32"
    z, phases, vectors = (complex_rows(ops.cast(one, dtype)) for one in rows)
    return z, ops.unstack(phases), ops.unstack(vectors)
