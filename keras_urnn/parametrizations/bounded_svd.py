"""Contractive matrices from two orthogonal ones and bounded singular values."""

from functools import partial
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_urnn import _checks, linalg
from keras_urnn._backend import full_precision, matmul
from keras_urnn._serialization import register
from keras_urnn.constraints import UnitaryProjection
from keras_urnn.linalg import Tensor
from keras_urnn.parametrizations.base import (
    Array,
    Parametrization,
    initial_matrix,
    initializers,
)
from keras_urnn.parametrizations.skew import working_dtype

# The singular values of the initial matrix are put into this range, times `max_norm`.
# The time that a state is remembered is about 1 / (1 - sigmoid(s)) steps, which a step
# of `s` changes by a factor. Further out the slope vanishes: at 1 the number `s` is
# infinite.
_START = (0.001, 0.999)


@register
class BoundedSVD(Parametrization):
    """Computes a contractive matrix from its singular value decomposition.

    The Spectral-RNN's map, for `ContractiveRNNCell`. Nothing has to be projected after
    an optimizer step, so that any optimizer may be used, weight averaging too. Choose
    `Projection` where a step must be fast, or where singular values are to reach
    `max_norm`.

    For orthogonal matrices `U` and `V`, each given by a parametrization, and numbers
    `s` of shape `(n,)`,

        R = U diag(max_norm · sigmoid(s)) Vᵀ

    has the singular values `max_norm · sigmoid(s)`. Reached is every matrix whose
    singular values lie strictly between 0 and `max_norm`; singular ones and those of
    norm `max_norm`, as orthogonal ones times `max_norm`, are missed, and training comes
    as near to them as it likes. The singular values of the initial matrix are put into
    [0.001, 0.999] `max_norm`: 0 and `max_norm` take infinite numbers.
    Cost: O(n³) once per sequence, O(n²) per time step. Parameters: n², with the default
    `U` and `V`.

    A `recurrent_regularizer` acts on the weights of `U` and `V`.

    Args:
        left: string or `Parametrization`. How `U` is kept orthogonal: a name, or an
            instance, which is copied, of a parametrization that holds unitary
            matrices. Defaults to `"cayley"`.
        right: the same of `V`. Defaults to `"cayley"`.

    Raises:
        ValueError: for a parametrization that doesn't hold unitary matrices; in
            `assign` and `initialize` for a matrix that is missed, and in `assign` for
            one off the set.
        TypeError: for what is no parametrization, and in `assign` for what is no array
            of real numbers.

    Example:
        ```python
        cell = keras_urnn.ContractiveRNNCell(8, parametrization="bounded_svd")
        y = keras.layers.RNN(cell)(keras.random.normal((2, 10, 3)))  # shape (2, 8)
        ```

    Reference:
        - [Zhang et al., 2018](https://arxiv.org/abs/1803.09327), section 4
    """

    sets = ("contractive",)
    systems = "Spectral-RNN"
    reaches = "singular values strictly inside (0, `max_norm`)"
    parameters = "n²"
    cost = "O(n³) a sequence, O(n²) a step"
    paper = "[Zhang et al., 2018](https://arxiv.org/abs/1803.09327)"

    def __init__(self, left: Any = "cayley", right: Any = "cayley") -> None:
        self.left = _factor("left", left)
        self.right = _factor("right", right)

    def build(self, cell: Any) -> None:
        self._cell = cell
        start = partial(initial_matrix, cell, cell.recurrent_projection("auto"))
        left, singular, right = initializers(3, start, self._raw_start)
        self.left.build(_PartOfCell(cell, "left", left))
        cell.recurrent_singular = cell.add_weight(
            shape=(cell.width,),
            name="recurrent_singular",
            initializer=singular,
            autocast=False,
        )
        self.right.build(_PartOfCell(cell, "right", right))

    def prepare(self) -> Tensor:
        cell = self.cell
        dtype = working_dtype(cell)
        U, V = (ops.cast(one.matrix(), dtype) for one in (self.left, self.right))
        sigma = cell.max_norm * ops.sigmoid(ops.cast(cell.recurrent_singular, dtype))
        with full_precision():
            return matmul(U * sigma, ops.transpose(V))

    def apply(self, h: Tensor, prepared: Tensor) -> Tensor:
        return matmul(h, prepared)

    def apply_transposed(self, h: Tensor, prepared: Tensor) -> Tensor:
        return matmul(h, ops.transpose(prepared))

    def matrix(self) -> Tensor:
        return ops.cast(self.prepare(), self.cell.variable_dtype)

    def set_matrix(self, matrix: Array) -> None:
        U, sigma, Vt = np.linalg.svd(matrix)
        self.left.set_matrix(U)
        self.right.set_matrix(Vt.T)
        self.cell.recurrent_singular.assign(_logit(sigma / self.cell.max_norm))

    def obstruction(self, matrix: Array, dtype: str = "float32") -> str | None:
        U, sigma, Vt = np.linalg.svd(matrix)
        ratios = sigma / self.cell.max_norm
        rounding = len(sigma) * linalg.EPSILON[dtype]
        if ratios[-1] <= rounding or ratios[0] >= 1.0 - rounding:
            return (
                f"a matrix with singular values from {sigma[-1]:.6g} to "
                f"{sigma[0]:.6g}, not strictly between 0 and "
                f"max_norm={self.cell.max_norm}"
            )
        return self.left.obstruction(U, dtype) or self.right.obstruction(Vt.T, dtype)

    def _raw_start(self, matrix: Array) -> tuple[Array, Array, Array]:
        """`U`, `s` and `V` of the initial matrix, singular values moved inside."""
        U, sigma, Vt = np.linalg.svd(matrix)
        return U, _logit(np.clip(sigma / self.cell.max_norm, *_START)), Vt.T

    def get_config(self) -> dict[str, Any]:
        parts = {"left": self.left, "right": self.right}
        config: dict[str, Any] = keras.saving.serialize_keras_object(parts)
        return config


class _PartOfCell:
    """Plays the cell for the parametrization of `U` or `V`.

    The weights are added to the cell, under names that begin with that of the part, and
    are attributes of this object.
    """

    def __init__(self, cell: Any, part: str, initializer: Any) -> None:
        self._cell, self._part = cell, part
        self.units = self.width = cell.width
        self.field = "real"
        # `matrix()` returns it: `U` and `V` are not rounded before their product.
        self.variable_dtype = (
            "float64" if cell.variable_dtype == "float64" else "float32"
        )
        self.recurrent_initializer = initializer
        self.recurrent_regularizer = cell.recurrent_regularizer

    def recurrent_projection(self, method: str) -> keras.constraints.Constraint:
        return UnitaryProjection(method)

    def add_weight(self, *, name: str, **options: Any) -> Any:
        return self._cell.add_weight(name=f"{self._part}_{name}", **options)


def _factor(argument: str, identifier: Any) -> Parametrization:
    # Imported here, as `get` knows this class, too.
    from keras_urnn.parametrizations import get

    found = get(identifier)
    if "unitary" not in found.sets:
        expected = "a parametrization that holds unitary matrices"
        received = (
            f"{type(found).__name__}, which holds {' and '.join(found.sets)} ones"
        )
        raise _checks.error(argument, expected, received, 'Choose "cayley".')
    if found.field != "real":
        received = f"{type(found).__name__} of {found.field} ones"
        advice = 'Choose "cayley": the states are real.'
        raise _checks.error(argument, "of real numbers", received, advice)
    return found


def _logit(p: Array) -> Array:
    return np.log(p) - np.log1p(-p)
