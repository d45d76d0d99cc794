"""Hadamard matrices with trained signs."""

from functools import partial
from typing import Any

import numpy as np
from keras import ops

from keras_urnn import _checks, linalg
from keras_urnn._backend import matmul
from keras_urnn._serialization import register
from keras_urnn.linalg import Tensor
from keras_urnn.parametrizations.base import (
    Array,
    Parametrization,
    initial_matrix,
    initializers,
)


@register
class Hadamard(Parametrization):
    """Turns the signs of a fixed orthogonal matrix of entries ±1/√n: HadamRNN.

    The recurrent matrix has one bit of information for each state, and no product with
    it needs a multiplication. Choose another map where the matrix itself should be
    learned.

    For raw weights `a` of shape `(n,)` and a Hadamard matrix `H` of order `n` (entries
    ±1, `H Hᵀ = n I`),

        R = diag(u) H / √n,    u = sign(a),    sign(0) = 1

    is orthogonal. Only these `2ⁿ` matrices are reached. The signs have no derivative:
    the gradient for `a` is that for `u` (straight-through). An initial matrix that is
    missed, as almost each is, is replaced by the nearest one that is reached.
    Cost: O(n²) once per sequence, O(n²) per time step. Parameters: n.

    `H` is built from those of Sylvester and of Paley over prime fields: the orders are
    1, 2, 4, 8, 12, 16, 20, 24, 28, 32, ..., and each times a power of two. The orders
    up to 128 that are missing are 52, 92, 100 and 116.

    A `recurrent_regularizer` acts on `a`.

    Raises:
        ValueError: when a cell is built for an order that is not available; in `assign`
            and `initialize`, for a matrix that is missed, and in `assign` for one off
            the set.
        TypeError: in `assign`, for what is no array of real numbers.

    Example:
        ```python
        layer = keras_urnn.UnitaryRNN(12, parametrization="hadamard")
        y = layer(keras.random.normal((2, 10, 3)))  # shape (2, 12)
        ```

    Reference:
        - [Foucault et al., 2025](https://arxiv.org/abs/2502.00047), section 3
        - Paley, On orthogonal matrices, 1933
    """

    sets = ("unitary",)
    systems = "HadamRNN"
    reaches = "2ⁿ matrices"
    parameters = "n"
    cost = "O(n²) a sequence, O(n²) a step"
    paper = "[Foucault et al., 2025](https://arxiv.org/abs/2502.00047)"

    def build(self, cell: Any) -> None:
        self._hadamard = _checked_order(cell.width)
        self._cell = cell
        start = partial(initial_matrix, cell, cell.recurrent_projection("auto"))
        raw = partial(_raw, H=self._hadamard)
        (signs,) = initializers(1, start, lambda matrix: [raw(matrix)])
        cell.recurrent_signs = cell.add_weight(
            shape=(cell.width,),
            name="recurrent_signs",
            initializer=signs,
            regularizer=cell.recurrent_regularizer,
            autocast=False,
        )

    def prepare(self) -> Tensor:
        dtype = "float64" if self.cell.variable_dtype == "float64" else "float32"
        a = ops.cast(self.cell.recurrent_signs, dtype)
        # Exactly ±1, with the gradient of `a`.
        one = ops.ones_like(a)
        u = ops.where(a >= 0.0, one, -one) + (a - ops.stop_gradient(a))
        scaled = self._hadamard / np.sqrt(self.cell.width)
        return u[:, None] * ops.convert_to_tensor(scaled, dtype)

    def apply(self, h: Tensor, prepared: Tensor) -> Tensor:
        return matmul(h, prepared)

    def matrix(self) -> Tensor:
        return ops.cast(self.prepare(), self.cell.variable_dtype)

    def set_matrix(self, matrix: Array) -> None:
        self.cell.recurrent_signs.assign(_raw(matrix, self._hadamard))

    def obstruction(self, matrix: Array, dtype: str = "float32") -> str | None:
        H = constructed(len(matrix))
        if H is None:
            return f"a matrix of {len(matrix)} states, an order that is not constructed"
        signs = np.where(_raw(matrix, H) >= 0.0, 1.0, -1.0)
        found = signs[:, None] * H / np.sqrt(len(matrix))
        distance = float(np.max(np.abs(found - matrix)))
        if distance <= 2.0 * len(matrix) * linalg.EPSILON[dtype]:
            return None
        nearest = "the nearest that a sign for each row gives"
        return f"a matrix at distance {distance:.2g} from {nearest}"


def _raw(matrix: Array, H: Array) -> Array:
    """Weights whose signs give the nearest matrix: the diagonal of `R Hᵀ / √n`."""
    return np.sum(matrix * H, axis=1) / np.sqrt(len(matrix))


def _checked_order(order: int) -> Array:
    """The Hadamard matrix of an order, or raise where there is none."""
    found = constructed(order)
    if found is None:
        expected = "the order of a Hadamard matrix that can be constructed"
        advice = "Choose a power of two, or another parametrization."
        raise _checks.error("units", expected, order, advice)
    return found


def constructed(order: int) -> Array | None:
    """A Hadamard matrix: Paley's, or else Sylvester's from one of half the order."""
    found = _paley(order)
    if found is not None or order % 2:
        return found
    half = constructed(order // 2)
    return None if half is None else np.kron([[1.0, 1.0], [1.0, -1.0]], half)


def _paley(order: int) -> Array | None:
    """The one of order 1 and those of Paley over prime fields, or None."""
    if order == 1:
        return np.ones((1, 1))
    if order % 4:
        return None
    if _is_prime(order - 1):
        return _conference_matrix(order - 1) + np.eye(order)
    half = order // 2
    if half % 4 != 2 or not _is_prime(half - 1):
        return None
    C = _conference_matrix(half - 1)
    rest = np.kron(np.eye(half), [[1.0, -1.0], [-1.0, -1.0]])
    return np.kron(C, [[1.0, 1.0], [1.0, -1.0]]) + rest


def _conference_matrix(prime: int) -> Array:
    """`C` with zeros on the diagonal, ±1 elsewhere, and `C Cᵀ = prime · I`.

    It is symmetric if `prime - 1` is a multiple of 4, else antisymmetric.
    """
    k = np.arange(prime)
    is_square = np.isin(k, k**2 % prime)
    character = np.where(is_square, 1.0, -1.0)
    character[0] = 0.0
    C = np.ones((prime + 1, prime + 1))
    C[0, 0] = 0.0
    C[1:, 0] = 1.0 if prime % 4 == 1 else -1.0
    C[1:, 1:] = character[np.subtract.outer(k, k) % prime]
    return C


def _is_prime(number: int) -> bool:
    return number > 1 and all(number % k for k in range(2, int(number**0.5) + 1))
