"""The scaled Cayley map: unitary matrices from skew-symmetric or -Hermitian ones."""

from typing import Any

import numpy as np
from keras import ops

from keras_urnn import _checks, linalg
from keras_urnn._backend import full_precision
from keras_urnn._serialization import register
from keras_urnn.constraints import FIELDS
from keras_urnn.linalg import Tensor
from keras_urnn.linalg.iterations import newton_schulz_step
from keras_urnn.parametrizations import complex_cayley
from keras_urnn.parametrizations.base import Array
from keras_urnn.parametrizations.skew import raw_of
from keras_urnn.parametrizations.skew_map import SkewMap


@register
class Cayley(SkewMap):
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

    With `rebase_every=k` it is

        R = B (I + A - A₀)⁻¹ (I - A + A₀),    every k training steps B ← R and A₀ ← A

    with a base `B` that is not trained either, and every orthogonal matrix is reached.
    With `k = 1` a step of gradient descent is the multiplicative one of the
    full-capacity uRNN. The steps count in `UnitaryRNN`; under `keras.layers.RNN` the
    base stays.

    With `field="complex"` it is the scuRNN's: raw weights `[a | b]` of shape `(n, 2n)`
    give the skew-Hermitian

        A = tril(a, -1) - tril(a, -1)ᵀ + i (tril(b) + tril(b, -1)ᵀ)

    and `D = diag(exp(iθ))` has trained phases. Every unitary matrix is reached, as `D`
    moves, too. Parameters: n² + n.

    A `recurrent_regularizer` acts on `a`, or on `[a | b]`. With `rebase_every` that is
    the sum of the steps so far, so leave it out, and weight decay too.

    Args:
        negative_ones: integer in [0, n], or None. How many of the signs are -1, the
            last ones: a hyperparameter of the scoRNN. An initial matrix that these
            signs miss, as one of the other determinant, has the signs of some of its
            columns changed. None chooses the signs by the matrix. Defaults to `None`.
        field: string. `"real"`, or `"complex"` for a cell of complex states. Defaults
            to `"real"`.
        rebase_every: positive integer `k`, or None for no base, as with complex
            numbers. Defaults to `None`.

    Raises:
        ValueError: for another field, a negative number of signs, one together with
            `rebase_every`, another `rebase_every`, either of them beside complex
            numbers, and when a cell is built for more signs than its units; in `assign`
            and `initialize`, for a matrix that these signs miss, and in `assign` for
            one off the set.
        TypeError: in `assign`, for what is no array of real numbers.

    Example:
        ```python
        cell = keras_urnn.UnitaryRNNCell(8, parametrization="cayley")
        y = keras.layers.RNN(cell)(keras.random.normal((2, 10, 3)))  # shape (2, 8)
        ```

    Reference:
        - [Helfrich et al., 2018](https://arxiv.org/abs/1707.09520), eq. (4)
        - [Maduranga et al., 2019](https://arxiv.org/abs/1811.04142), complex numbers
        - [Wisdom et al., 2016](https://arxiv.org/abs/1611.00035), section 4, for
          `rebase_every`
    """

    systems = (
        'scoRNN; scuRNN with `field="complex"`; the step of the full-capacity uRNN '
        "with `rebase_every=1`"
    )
    reaches = (
        "O(n), but for each D a set of measure 0; all of it with `rebase_every`; U(n)"
    )
    parameters = "n(n-1)/2; n² + n if complex"
    paper = "[Helfrich et al., 2018](https://arxiv.org/abs/1707.09520)"

    def __init__(
        self,
        negative_ones: int | None = None,
        field: str = "real",
        rebase_every: int | None = None,
    ) -> None:
        super().__init__(rebase_every)
        advice = "It is that of the states of the cell."
        self.field = _checks.one_of("field", field, FIELDS, advice)
        self.negative_ones = _check_negative_ones(negative_ones, self.rebase_every)
        if self.field == "complex":
            _refuse_beside_complex("negative_ones", self.negative_ones)
            _refuse_beside_complex("rebase_every", self.rebase_every)

    def build(self, cell: Any) -> None:
        if self.field == "complex":
            self._cell = cell
            complex_cayley.add_weights(cell)
        else:
            _check_at_most(self.negative_ones, cell.width)
            super().build(cell)

    def rotation(self, A: Tensor) -> Tensor:
        eye = ops.eye(A.shape[-1], dtype=A.dtype)
        with full_precision():
            # The Newton-Schulz step removes what the solve has rounded.
            return newton_schulz_step(ops.solve(eye + A, eye - A))

    def prepare(self) -> Tensor:
        if self.field == "complex":
            return complex_cayley.matrix_from(self.cell)
        return super().prepare()

    def set_matrix(self, matrix: Array) -> None:
        if self.field == "complex":
            complex_cayley.set_weights(self.cell, matrix)
        else:
            super().set_matrix(matrix)

    def obstruction(self, matrix: Array, dtype: str = "float32") -> str | None:
        if self.field == "complex" or self.rebase_every is not None:
            return None
        value, count = np.asarray(matrix, "float64"), self.negative_ones
        if count is not None and count > len(value):
            return f"a matrix of {len(value)} states, with its {count} signs -1"
        if self._reaches(value, dtype):
            return None
        signs = self._signs(value)
        nearest = np.linalg.svd(np.eye(len(value)) + value * signs, compute_uv=False)
        return (
            f"a matrix R for which R D has an eigenvalue at distance {nearest[-1]:.2g} "
            f"from -1, where {count} of {len(value)} signs in D are -1 "
            f"(the determinant of R is {np.linalg.det(value):+.0f})"
        )

    def _reaches(self, matrix: Array, dtype: str) -> bool:
        """Whether the weights, rounded to `dtype`, give the matrix back."""
        try:
            raw, signs = self.raw(matrix)
        except np.linalg.LinAlgError:
            return False
        lower = np.asarray(ops.convert_to_numpy(ops.cast(raw, dtype)), "float64")
        eye, A = np.eye(len(matrix)), lower - lower.T
        found = np.linalg.solve(eye + A, eye - A) * signs
        # Half of what law L3 allows: the other half is for the solve in `dtype`.
        most = 2.0 * len(matrix) * linalg.EPSILON[dtype]
        return bool(np.max(np.abs(found - matrix)) <= most)

    def raw(self, matrix: Array) -> tuple[Array, Array]:
        signs, eye = self._signs(matrix), np.eye(len(matrix))
        rotation = matrix * signs
        # A = (I + Q)⁻¹ (I - Q), as the two factors commute.
        return raw_of(np.linalg.solve(eye + rotation, eye - rotation)), signs

    def raw_start(self, matrix: Array) -> tuple[Array, Array]:
        """The same of the initial matrix, its columns turned if it is missed."""
        if not self._reaches(matrix, self.cell.variable_dtype):
            matrix = matrix * _signs_far_from_singular(matrix) * self._signs(matrix)
        return self.raw(matrix)

    def _signs(self, matrix: Array) -> Array:
        if self.negative_ones is None:
            return _signs_far_from_singular(matrix)
        n = len(matrix)
        return np.where(np.arange(n) < n - self.negative_ones, 1.0, -1.0)

    def get_config(self) -> dict[str, Any]:
        own = {"negative_ones": self.negative_ones, "field": self.field}
        return {**own, **super().get_config()}


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


def _refuse_beside_complex(argument: str, value: int | None) -> None:
    if value is not None:
        expected = 'None with field="complex"'
        advice = "D has trained phases there, and there is no base."
        raise _checks.error(argument, expected, value, advice)


def _check_negative_ones(value: Any, rebase_every: int | None) -> int | None:
    if value is None:
        return None
    if not _checks.is_integer(value) or value < 0:
        advice = "So many of the signs of D are -1; None chooses them by the matrix."
        expected = "None or an integer, at least 0"
        raise _checks.error("negative_ones", expected, value, advice)
    if rebase_every is not None:
        expected = f"None where rebase_every={rebase_every}"
        advice = "The base takes the place of D; it starts as the initial matrix."
        raise _checks.error("negative_ones", expected, value, advice)
    return int(value)


def _check_at_most(negative_ones: int | None, width: int) -> None:
    if negative_ones is not None and negative_ones > width:
        expected = f"at most {width}, the number of states"
        advice = "D has one sign for each state."
        raise _checks.error("negative_ones", expected, negative_ones, advice)
