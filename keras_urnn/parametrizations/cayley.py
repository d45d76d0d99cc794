"""The scaled Cayley map: unitary matrices from skew-symmetric or -Hermitian ones."""

from functools import partial
from typing import Any

import numpy as np
from keras import ops

from keras_urnn import _checks, linalg
from keras_urnn._backend import full_precision, matmul
from keras_urnn._serialization import register
from keras_urnn.constraints import FIELDS
from keras_urnn.linalg import Tensor
from keras_urnn.linalg.iterations import gram_defect
from keras_urnn.parametrizations import complex_cayley
from keras_urnn.parametrizations.base import (
    Array,
    Parametrization,
    initial_matrix,
    initializers,
)


@register
class Cayley(Parametrization):
    """Computes an orthogonal matrix from a skew-symmetric one, the scoRNN's way.

    Nothing has to be projected after an optimizer step, so that any optimizer may be
    used, weight averaging too. Choose `Projection` where a step must be fast: this map
    solves a linear system once per sequence, and its gradient another.

    For raw weights `a` of shape `(n, n)`, with `A = tril(a) - tril(a)ᵀ` and a diagonal
    `D` of signs ±1,

        R = (I + A)⁻¹ (I - A) D

    is orthogonal, with the determinant of `D`. Reached is every orthogonal matrix `R`
    for which `R D` does not have the eigenvalue -1; these are missed, and training
    comes as near to them as it likes but does not cross. Every orthogonal matrix is
    reached with some `D`. `D` is not trained: unless `negative_ones` fixes it, it is
    chosen when a matrix is set (the initial one, or one that is assigned), such that
    the entries of `A` are small, and saved with the weights.
    Cost: O(n³) once per sequence, O(n²) per time step. Parameters: n(n-1)/2.

    With `field="complex"` it is the scuRNN's: raw weights `[a | b]` of shape `(n, 2n)`
    give the skew-Hermitian

        A = tril(a, -1) - tril(a, -1)ᵀ + i (tril(b) + tril(b, -1)ᵀ)

    and `D = diag(exp(iθ))` has trained phases. Every unitary matrix is reached, as `D`
    moves, too. Parameters: n² + n.

    A `recurrent_regularizer` acts on `a`, or on `[a | b]`.

    Args:
        negative_ones: integer in [0, n], or None. How many of the signs are -1, the
            last ones: a hyperparameter of the scoRNN. An initial matrix that these
            signs miss, as one of the other determinant, has the signs of some of its
            columns changed. None chooses the signs by the matrix. Defaults to `None`.
        field: string. `"real"`, or `"complex"` for a cell of complex states. Defaults
            to `"real"`.

    Raises:
        ValueError: for another field, a negative number of signs or any beside complex
            numbers, and when a cell is built for more
            than its units; in `assign` and `initialize`, for a matrix that these signs
            miss, and in `assign` for one off the set.
        TypeError: in `assign`, for what is no array of real numbers.

    Example:
        ```python
        cell = keras_urnn.UnitaryRNNCell(8, parametrization="cayley")
        y = keras.layers.RNN(cell)(keras.random.normal((2, 10, 3)))  # shape (2, 8)
        ```

    Reference:
        - [Helfrich et al., 2018](https://arxiv.org/abs/1707.09520), eq. (4)
        - [Maduranga et al., 2019](https://arxiv.org/abs/1811.04142), complex numbers
    """

    sets = ("unitary",)

    def __init__(self, negative_ones: int | None = None, field: str = "real") -> None:
        advice = "It is that of the states of the cell."
        self.field = _checks.one_of("field", field, FIELDS, advice)
        self.negative_ones = _check_negative_ones(negative_ones, field)

    def build(self, cell: Any) -> None:
        _check_at_most(self.negative_ones, cell.width)
        self._cell = cell
        if self.field == "complex":
            return complex_cayley.add_weights(cell)
        start = partial(initial_matrix, cell, cell.recurrent_projection("auto"))
        skew, signs = initializers(2, start, self._raw_start)
        cell.recurrent_skew = cell.add_weight(
            shape=(cell.width, cell.width),
            name="recurrent_skew",
            initializer=skew,
            regularizer=cell.recurrent_regularizer,
            autocast=False,
        )
        cell.recurrent_signs = cell.add_weight(
            shape=(cell.width,),
            name="recurrent_signs",
            initializer=signs,
            trainable=False,
            autocast=False,
        )
        return None

    def prepare(self) -> Tensor:
        cell = self.cell
        if self.field == "complex":
            return complex_cayley.matrix_from(cell)
        dtype = "float64" if cell.variable_dtype == "float64" else "float32"
        lower = ops.tril(ops.cast(cell.recurrent_skew, dtype), k=-1)
        skew = lower - ops.transpose(lower)
        eye = ops.eye(cell.width, dtype=dtype)
        with full_precision():
            matrix = ops.solve(eye + skew, eye - skew)
            # One Newton-Schulz step removes what the solve has rounded.
            matrix = matrix + 0.5 * matmul(matrix, gram_defect(matrix))
        return matrix * ops.cast(cell.recurrent_signs, dtype)

    def apply(self, h: Tensor, prepared: Tensor) -> Tensor:
        return matmul(h, prepared)

    def matrix(self) -> Tensor:
        return ops.cast(self.prepare(), self.cell.variable_dtype)

    def set_matrix(self, matrix: Array) -> None:
        if self.field == "complex":
            return complex_cayley.set_weights(self.cell, matrix)
        skew, signs = self._raw(np.asarray(matrix, "float64"))
        self.cell.recurrent_skew.assign(skew)
        self.cell.recurrent_signs.assign(signs)
        return None

    def obstruction(self, matrix: Array, dtype: str = "float32") -> str | None:
        value = np.asarray(matrix, "float64")
        if self.field == "complex" or self._reaches(value, dtype):
            return None
        signs = self._signs(value)
        nearest = np.linalg.svd(np.eye(len(value)) + value * signs, compute_uv=False)
        return (
            f"a matrix R for which R D has an eigenvalue at distance {nearest[-1]:.2g} "
            f"from -1, where {self.negative_ones} of {len(value)} signs in D are -1 "
            f"(the determinant of R is {np.linalg.det(value):+.0f})"
        )

    def _reaches(self, matrix: Array, dtype: str) -> bool:
        """Whether the weights, rounded to `dtype`, give the matrix back."""
        try:
            skew, signs = self._raw(matrix)
        except np.linalg.LinAlgError:
            return False
        lower = np.asarray(ops.convert_to_numpy(ops.cast(skew, dtype)), "float64")
        eye, skew = np.eye(len(matrix)), lower - lower.T
        found = np.linalg.solve(eye + skew, eye - skew) * signs
        # Half of what law L3 allows: the other half is for the solve in `dtype`.
        most = 2.0 * len(matrix) * linalg.EPSILON[dtype]
        return bool(np.max(np.abs(found - matrix)) <= most)

    def _raw(self, matrix: Array) -> tuple[Array, Array]:
        """The lower triangle of `A`, and the diagonal of `D`."""
        signs, eye = self._signs(matrix), np.eye(len(matrix))
        rotation = matrix * signs
        # A = (I + Q)⁻¹ (I - Q), as the two factors commute.
        skew = np.linalg.solve(eye + rotation, eye - rotation)
        return np.tril(0.5 * (skew - skew.T), k=-1), signs

    def _raw_start(self, matrix: Array) -> tuple[Array, Array]:
        """The same of the initial matrix, its columns turned if it is missed."""
        if not self._reaches(matrix, self.cell.variable_dtype):
            matrix = matrix * _signs_far_from_singular(matrix) * self._signs(matrix)
        return self._raw(matrix)

    def _signs(self, matrix: Array) -> Array:
        if self.negative_ones is None:
            return _signs_far_from_singular(matrix)
        n = len(matrix)
        return np.where(np.arange(n) < n - self.negative_ones, 1.0, -1.0)

    def get_config(self) -> dict[str, Any]:
        return {"negative_ones": self.negative_ones, "field": self.field}


def _signs_far_from_singular(matrix: Array) -> Array:
    """Signs `D` for which the pivots of an elimination of `R + D` are 1 at least.

    Then `I + R D = (R + D) D` is not singular. Entries of `A` up to 2.6 were seen, for
    random matrices, permutations and reflections of 2 to 512 states.

    Reference:
        - Ballard et al., Reconstructing Householder Vectors from Tall-Skinny QR, 2014
    """
    work, signs = np.array(matrix), np.ones(len(matrix))
    for k in range(len(matrix)):
        signs[k] = 1.0 if work[k, k] >= 0.0 else -1.0
        work[k, k] += signs[k]
        rows, columns = work[k + 1 :, k] / work[k, k], work[k, k + 1 :]
        work[k + 1 :, k + 1 :] -= np.outer(rows, columns)
    return signs


def _check_negative_ones(value: Any, field: str) -> int | None:
    if value is None:
        return None
    if field == "complex":
        expected = 'None with field="complex"'
        advice = "D has trained phases there."
        raise _checks.error("negative_ones", expected, value, advice)
    if not _checks.is_integer(value) or value < 0:
        advice = "So many signs of D are -1; None chooses them by the matrix."
        expected = "None or an integer, at least 0"
        raise _checks.error("negative_ones", expected, value, advice)
    return int(value)


def _check_at_most(negative_ones: int | None, width: int) -> None:
    if negative_ones is not None and negative_ones > width:
        expected = f"at most {width}, the number of states"
        advice = "D has one sign for each state."
        raise _checks.error("negative_ones", expected, negative_ones, advice)
