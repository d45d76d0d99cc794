"""The Cayley map of complex matrices: a skew-Hermitian `A`, and phases in `D`."""

from typing import Any

import numpy as np
from keras import ops

from keras_urnn._backend import cos_and_sin, full_precision
from keras_urnn.linalg import Tensor
from keras_urnn.linalg.complex_matrices import embedding, parts_of
from keras_urnn.linalg.iterations import newton_schulz_step
from keras_urnn.parametrizations.base import Array
from keras_urnn.parametrizations.diagonal_weights import add_phased_weights
from keras_urnn.parametrizations.skew import (
    complex_of,
    raw_of_complex,
    skew_hermitian,
    working_dtype,
)


def add_weights(cell: Any) -> None:
    """Create the raw weights `[a | b]` and the phases `θ` of a cell."""
    shape = (cell.units, cell.width)
    add_phased_weights(cell, "recurrent_skew", shape, weights_of)


def set_weights(cell: Any, matrix: Array) -> None:
    """Set the weights so that `R` is this matrix, an embedding."""
    raw, phases = weights_of(matrix)
    cell.recurrent_skew.assign(raw)
    cell.recurrent_phases.assign(phases)


def matrix_from(cell: Any) -> Tensor:
    """`R = (I + A)⁻¹ (I - A) D`, as a real matrix, in float32 at least."""
    dtype = working_dtype(cell)
    skew = embedding(skew_hermitian(cell.recurrent_skew, dtype))
    eye = ops.eye(cell.width, dtype=dtype)
    with full_precision():
        # The Newton-Schulz step removes what the solve has rounded.
        matrix = newton_schulz_step(ops.solve(eye + skew, eye - skew))
    a, b = ops.split(parts_of(matrix), 2, axis=-1)
    cos, sin = cos_and_sin(ops.cast(cell.recurrent_phases, dtype))
    turned = [a * cos - b * sin, a * sin + b * cos]
    return embedding(ops.concatenate(turned, axis=-1))


def weights_of(matrix: Array) -> tuple[Array, Array]:
    """The raw weights and the phases that give a matrix, an embedding."""
    value, eye = complex_of(matrix), np.eye(len(matrix) // 2)
    phases = _phases_far_from_singular(value)
    rotation = value * phases.conj()
    # A = (I + Q)⁻¹ (I - Q), as the two factors commute.
    skew = np.linalg.solve(eye + rotation, eye - rotation)
    return raw_of_complex(skew), np.angle(phases)


def _phases_far_from_singular(matrix: Array) -> Array:
    """Phases `D` for which the pivots of an elimination of `R + D` are 1 at least.

    Then `I + R Dᴴ = (R + D) Dᴴ` is not singular: as with signs for a real matrix.
    """
    work, phases = np.array(matrix), np.ones(len(matrix), matrix.dtype)
    for k in range(len(matrix)):
        size = np.abs(work[k, k])
        phases[k] = work[k, k] / size if size > 0.0 else 1.0
        work[k, k] += phases[k]
        rows, columns = work[k + 1 :, k] / work[k, k], work[k, k + 1 :]
        work[k + 1 :, k + 1 :] -= np.outer(rows, columns)
    return phases
