"""Products of Householder reflections, in compact WY form."""

from typing import Any

import numpy as np
from keras import ops

from keras_urnn import _checks, linalg
from keras_urnn._backend import full_precision, matmul
from keras_urnn._serialization import register
from keras_urnn.linalg import Tensor
from keras_urnn.linalg.directions import directions
from keras_urnn.linalg.iterations import newton_schulz_step
from keras_urnn.parametrizations.base import Array, Parametrization
from keras_urnn.parametrizations.diagonal_weights import add_signed_weights
from keras_urnn.parametrizations.reflections import reflections_of
from keras_urnn.parametrizations.skew import working_dtype

# From this width on a step by vectors takes less time than one by a matrix, for an
# eighth as many reflections: 0.8 of it on PyTorch, where each operation weighs most. At
# half the width it takes twice as much there.
STRUCTURED_FROM = 256


@register
class Householder(Parametrization):
    """Computes an orthogonal matrix as a product of reflections: oRNN, CWY.

    Choose it for few reflections: they have few weights, and a wide layer steps by them
    at less cost than by a dense matrix. For all rotations choose `Cayley` or
    `Exponential`.

    For raw weights `v` of shape `(n, m)`, with `u_k` the lower part of column `k` (from
    its entry `k` on) divided by its norm, and `U = [u_1, ..., u_m]`,

        R = H_1 H_2 ... H_m D,    H_k = I - 2 u_k u_kᵀ
          = (I - U S⁻¹ Uᵀ) D,     S = I / 2 + triu(UᵀU, 1)

    where `D` is diagonal: `m` entries -1, the others 1, and the last one times the
    determinant of `R`. With `u_k` the unit vectors, `R` is the identity. With `n - 1`
    or `n` reflections every orthogonal matrix is reached; with fewer, every one for
    which `R - D` has rank `m` at most. `D` is not trained: its last sign is that of the
    matrix that is set (the initial one, or one that is assigned), and is saved with the
    weights. An initial matrix that `m` reflections miss is replaced by the nearest one
    that they reach with this `D`.
    Cost: O(n²m) once per sequence and O(n²) per time step; O(nm²) and O(nm) for few
    reflections in a wide layer, `8 m ≤ n` and `n ≥ 256`. Parameters: nm - m(m-1)/2.

    A `recurrent_regularizer` acts on `v`, of whose columns only the directions matter.

    Args:
        reflections: positive integer `m`, at most the number of units, or None for as
            many. Defaults to `None`.
        determinant: 1, -1 or None. The determinant of `R`. An initial matrix of the
            other one has the sign of its last column changed. None takes that of the
            matrix. Defaults to `None`.

    Raises:
        ValueError: for no reflections or more than units, another determinant; in
            `assign` and `initialize` for a matrix that is missed, and in `assign` for
            one off the set.
        TypeError: in `assign`, for what is no array of real numbers.

    Example:
        ```python
        few = keras_urnn.parametrizations.Householder(reflections=2)
        layer = keras_urnn.UnitaryRNN(8, parametrization=few)
        y = layer(keras.random.normal((2, 10, 3)))  # shape (2, 8)
        ```

    Reference:
        - [Mhammedi et al., 2017](https://arxiv.org/abs/1612.00188), section 3
        - [Likhosherstov et al., 2021](https://arxiv.org/abs/2004.08675), the compact
          WY form
    """

    sets = ("unitary",)
    systems = "oRNN, CWY"
    reaches = "O(n) with n - 1 reflections; with m, what differs from D by rank m"
    parameters = "nm - m(m-1)/2"
    cost = "O(n²m) a sequence, O(n²) a step; O(nm²) and O(nm) for few in a wide layer"
    paper = "[Mhammedi et al., 2017](https://arxiv.org/abs/1612.00188)"

    def __init__(
        self, reflections: int | None = None, determinant: int | None = None
    ) -> None:
        self.reflections = _check_reflections(reflections)
        self.determinant = _check_determinant(determinant)

    def build(self, cell: Any) -> None:
        _check_at_most(self.reflections, cell.width)
        self._cell = cell
        shape = (cell.width, self._count(cell.width))
        add_signed_weights(cell, "recurrent_vectors", shape, self._raw_start)

    def is_structured(self) -> bool:
        n = self.cell.width
        return n >= STRUCTURED_FROM and 8 * self._count(n) <= n

    def prepare(self) -> Any:
        """`U`, `S⁻¹ Uᵀ` and the diagonal of `D`; `R` where that is the cheaper step."""
        factors = self._factors()
        return factors if self.is_structured() else _product(*factors)

    def apply(self, h: Tensor, prepared: Any) -> Tensor:
        if not self.is_structured():
            return matmul(h, prepared)
        U, solved, signs = prepared
        return (h - matmul(matmul(h, U), solved)) * signs

    def apply_transposed(self, h: Tensor, prepared: Any) -> Tensor:
        if not self.is_structured():
            return matmul(h, ops.transpose(prepared))
        U, solved, signs = prepared
        h = h * signs
        return h - matmul(matmul(h, ops.transpose(solved)), ops.transpose(U))

    def matrix(self) -> Tensor:
        prepared = self.prepare()
        R = _product(*prepared) if self.is_structured() else prepared
        return ops.cast(R, self.cell.variable_dtype)

    def set_matrix(self, matrix: Array) -> None:
        vectors, signs, _ = self._raw(np.asarray(matrix, "float64"))
        self.cell.recurrent_vectors.assign(vectors)
        self.cell.recurrent_signs.assign(signs)

    def obstruction(self, matrix: Array, dtype: str = "float32") -> str | None:
        value = np.asarray(matrix, "float64")
        n, m = len(value), self._count(len(value))
        if m > n:
            return f"a matrix of {n} states, with its {m} reflections"
        determinant = np.linalg.slogdet(value)[0]
        if self.determinant not in (None, determinant):
            return f"a matrix of determinant {determinant:+.0f}"
        _, signs, distance = self._raw(value)
        # Half of what law L3 allows: the other half is for the products in `dtype`.
        if distance <= 2.0 * n * linalg.EPSILON[dtype]:
            return None
        left = np.linalg.svd(value - np.diag(signs), compute_uv=False)[m:]
        return (
            f"a matrix R for which R - D has rank above {m}, the number of reflections "
            f"(its next singular value is {np.max(left, initial=0.0):.2g})"
        )

    def _factors(self) -> tuple[Tensor, Tensor, Tensor]:
        cell, dtype = self.cell, working_dtype(self.cell)
        lower = ops.tril(ops.cast(cell.recurrent_vectors, dtype))
        # The columns from the diagonal on. One of zeros stands for the unit vector.
        U = directions(lower, axis=0, of_zero=ops.eye(*lower.shape, dtype=dtype))
        half = 0.5 * ops.eye(U.shape[1], dtype=dtype)
        with full_precision():
            S = half + ops.triu(matmul(ops.transpose(U), U), k=1)
            solved = ops.solve_triangular(S, ops.transpose(U))
        return U, solved, ops.cast(cell.recurrent_signs, dtype)

    def _count(self, width: int) -> int:
        return width if self.reflections is None else self.reflections

    def _raw(self, matrix: Array) -> tuple[Array, Array, float]:
        """Unit vectors, the signs, and how far they are from giving the matrix."""
        n, m = len(matrix), self._count(len(matrix))
        signs = np.where(np.arange(n) < m, -1.0, 1.0)
        signs[-1] *= np.linalg.slogdet(matrix)[0]
        vectors, distance = reflections_of(matrix * signs, m)
        return vectors, signs, distance

    def _raw_start(self, matrix: Array) -> tuple[Array, Array]:
        """The vectors and signs of the initial matrix, of the wanted determinant."""
        if self.determinant not in (None, np.linalg.slogdet(matrix)[0]):
            matrix = np.hstack([matrix[:, :-1], -matrix[:, -1:]])
        vectors, signs, _ = self._raw(matrix)
        return vectors, signs

    def get_config(self) -> dict[str, Any]:
        return {"reflections": self.reflections, "determinant": self.determinant}


def _product(U: Tensor, solved: Tensor, signs: Tensor) -> Tensor:
    """`(I - U S⁻¹ Uᵀ) D`."""
    eye = ops.eye(U.shape[0], dtype=U.dtype)
    with full_precision():
        return newton_schulz_step(eye - matmul(U, solved)) * signs


def _check_reflections(value: Any) -> int | None:
    if value is None:
        return None
    advice = "So many reflections are multiplied; None takes one for each state."
    return _checks.positive_integer("reflections", value, advice)


def _check_determinant(value: Any) -> int | None:
    if value is None:
        return None
    if not _checks.is_integer(value) or value not in (1, -1):
        advice = "It is the determinant of the matrix; None takes that of the start."
        raise _checks.error("determinant", "1, -1 or None", value, advice)
    return int(value)


def _check_at_most(reflections: int | None, width: int) -> None:
    if reflections is not None and reflections > width:
        expected = f"at most {width}, the number of states"
        advice = "So many are enough for every orthogonal matrix."
        raise _checks.error("reflections", expected, reflections, advice)
