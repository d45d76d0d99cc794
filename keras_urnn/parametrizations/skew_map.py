"""What the maps of skew-symmetric matrices share."""

from abc import abstractmethod
from typing import Any

import numpy as np
from keras import ops

from keras_urnn._backend import matmul
from keras_urnn.linalg import Tensor
from keras_urnn.parametrizations import moving_base
from keras_urnn.parametrizations.base import Array, Parametrization
from keras_urnn.parametrizations.diagonal_weights import add_signed_weights
from keras_urnn.parametrizations.skew import skew, working_dtype


class SkewMap(Parametrization):
    """A matrix `R = f(A) D` of a skew-symmetric `A`, or `B f(A - A₀)` with a base.

    Abstract: a subclass says what `f` is, and which `A` and `D` give a matrix.
    """

    sets = ("unitary",)
    parameters = "n(n-1)/2"
    cost = "O(n³) a sequence, O(n²) a step"

    def __init__(self, rebase_every: int | None) -> None:
        self.rebase_every = moving_base.check_rebase_every(rebase_every)

    @abstractmethod
    def rotation(self, A: Tensor) -> Tensor:
        """`f(A)`, of determinant 1."""

    @abstractmethod
    def raw(self, matrix: Array) -> tuple[Array, Array]:
        """The raw weights `a` and the diagonal of `D` that give a matrix."""

    def raw_start(self, matrix: Array) -> tuple[Array, Array]:
        """The same for the initial matrix, or for one near it if that is missed."""
        return self.raw(matrix)

    def build(self, cell: Any) -> None:
        self._cell = cell
        if self.rebase_every is None:
            shape = (cell.width, cell.width)
            add_signed_weights(cell, "recurrent_skew", shape, self.raw_start)
        else:
            moving_base.add_weights_at_base(cell)

    def before_training_step(self) -> None:
        if self.rebase_every is not None and self.cell.trainable:
            moving_base.move_base(self.cell, self.rebase_every, self.prepare)

    def prepare(self) -> Tensor:
        cell, dtype = self.cell, working_dtype(self.cell)
        if self.rebase_every is None:
            rotation = self.rotation(skew(cell.recurrent_skew, dtype))
            return rotation * ops.cast(cell.recurrent_signs, dtype)
        return moving_base.from_base(cell, dtype, self.rotation)

    def apply(self, h: Tensor, prepared: Tensor) -> Tensor:
        return matmul(h, prepared)

    def matrix(self) -> Tensor:
        return ops.cast(self.prepare(), self.cell.variable_dtype)

    def set_matrix(self, matrix: Array) -> None:
        value = np.asarray(matrix, "float64")
        if self.rebase_every is None:
            raw, signs = self.raw(value)
            self.cell.recurrent_skew.assign(raw)
            self.cell.recurrent_signs.assign(signs)
        else:
            moving_base.set_base(self.cell, value)

    def get_config(self) -> dict[str, Any]:
        return {"rebase_every": self.rebase_every}
