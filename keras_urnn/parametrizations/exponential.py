"""The exponential map: rotations and unitary matrices from their logarithms."""

from typing import Any

import numpy as np

from keras_urnn import _checks
from keras_urnn._serialization import register
from keras_urnn.constraints import FIELDS
from keras_urnn.linalg import Tensor
from keras_urnn.linalg.exponential import skew_exponential
from keras_urnn.parametrizations import complex_exponential
from keras_urnn.parametrizations.base import Array
from keras_urnn.parametrizations.skew import raw_of
from keras_urnn.parametrizations.skew_map import SkewMap
from keras_urnn.parametrizations.turns import turns_of


@register
class Exponential(SkewMap):
    """Computes an orthogonal matrix as the exponential of a skew-symmetric one: expRNN.

    As with `Cayley`, nothing has to be projected after an optimizer step. Choose it
    where no rotation may be missed: at an eigenvalue -1 the weights of `Cayley` are
    infinite, here the angle is π. It multiplies matrices, and solves no linear system.

    For raw weights `a` of shape `(n, n)`, with `A = tril(a) - tril(a)ᵀ`,

        R = exp(A) D,    D = diag(1, ..., 1, det R)

    is orthogonal. Every orthogonal matrix is reached: of determinant 1 with `D = I`, of
    determinant -1 with the other. `D` is not trained: its sign is that of the matrix
    that is set (the initial one, or one that is assigned), and is saved with the
    weights. Choose the determinant by the `recurrent_initializer`. The angles of a
    matrix that is set are in [-π, π].
    Cost: O(n³) once per sequence, O(n²) per time step. Parameters: n(n-1)/2.

    With `field="complex"` raw weights `[a | b]` of shape `(n, 2n)` give the
    skew-Hermitian

        A = tril(a, -1) - tril(a, -1)ᵀ + i (tril(b) + tril(b, -1)ᵀ)

    and `R = exp(A)`, without a `D`. Every unitary matrix is reached, with angles in
    [-π, π] when it is set. Parameters: n².

    With `rebase_every=k` it is

        R = B exp(A - A₀),    every k training steps B ← R and A₀ ← A

    with a base `B` that is not trained either: a gradient is then taken near the unit
    matrix, where equal steps of the weights are equal turns of `R`. The steps count in
    `UnitaryRNN`; under `keras.layers.RNN` the base stays.

    A `recurrent_regularizer` acts on `a`, or on `[a | b]`. With `rebase_every` that is
    the sum of the turns so far, so leave it out, and weight decay too.

    Args:
        rebase_every: positive integer `k`, or None for no base. At 1 training follows
            the gradient on the orthogonal matrices themselves. Defaults to `None`.
        field: string. `"real"`, or `"complex"` for a cell of complex states. Defaults
            to `"real"`.

    Raises:
        ValueError: for another `rebase_every` or field; in `assign`, for a matrix off
            the set.
        TypeError: in `assign`, for what is no array of real numbers.

    Example:
        ```python
        cell = keras_urnn.UnitaryRNNCell(8, parametrization="exponential")
        y = keras.layers.RNN(cell)(keras.random.normal((2, 10, 3)))  # shape (2, 8)
        ```

    Reference:
        - [Lezcano-Casado and Martínez-Rubio, 2019](https://arxiv.org/abs/1901.08428),
          section 3
        - [Lezcano-Casado, 2019](https://arxiv.org/abs/1909.09501), section 5, for
          `rebase_every`
    """

    systems = "expRNN; dtriv with `rebase_every`"
    reaches = "O(n), U(n)"
    parameters = "n(n-1)/2; n² if complex"
    paper = (
        "[Lezcano-Casado and Martínez-Rubio, 2019](https://arxiv.org/abs/1901.08428)"
    )

    def __init__(self, rebase_every: int | None = None, field: str = "real") -> None:
        super().__init__(rebase_every)
        advice = "It is that of the states of the cell."
        self.field = _checks.one_of("field", field, FIELDS, advice)

    def build(self, cell: Any) -> None:
        if self._is_plain_complex():
            self._cell = cell
            complex_exponential.add_weights(cell)
        else:
            super().build(cell)

    def prepare(self) -> Tensor:
        if self._is_plain_complex():
            return complex_exponential.matrix_from(self.cell)
        return super().prepare()

    def set_matrix(self, matrix: Array) -> None:
        if self._is_plain_complex():
            raw = complex_exponential.weights_of(matrix)
            self.cell.recurrent_skew.assign(raw)
        else:
            super().set_matrix(matrix)

    def _is_plain_complex(self) -> bool:
        """Whether the weights are those of `complex_exponential`, without a base."""
        return self.field == "complex" and self.rebase_every is None

    def rotation(self, A: Tensor) -> Tensor:
        return skew_exponential(A)

    def raw(self, matrix: Array) -> tuple[Array, Array]:
        signs = np.ones(len(matrix))
        signs[-1] = np.linalg.slogdet(matrix)[0]
        return raw_of(_logarithm(matrix * signs)), signs

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "field": self.field}


def _logarithm(rotation: Array) -> Array:
    """A skew-symmetric `A` of angles in [-π, π] with `exp(A)` equal to a rotation.

    The lines that are turned by π are even in number, as the determinant is 1: two of
    them are a plane.
    """
    basis, turns = turns_of(rotation)
    half = [columns[0] for columns, angle in turns if len(columns) == 1 and angle > 0.0]
    planes = [turn for turn in turns if len(turn[0]) == 2]
    planes += [([i, j], np.pi) for i, j in zip(half[::2], half[1::2], strict=True)]
    A = np.zeros_like(rotation)
    for (i, j), angle in planes:
        A[i, j], A[j, i] = angle, -angle
    return basis @ A @ basis.T
