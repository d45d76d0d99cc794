"""A dense recurrent matrix, kept on its set by a constraint."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_urnn import _checks, _numbers, linalg
from keras_urnn._backend import matmul
from keras_urnn._serialization import register
from keras_urnn.linalg import Tensor
from keras_urnn.parametrizations.base import Parametrization


@register
class Projection(Parametrization):
    """Keeps the matrix itself and projects it after each optimizer step.

    The paper's method and the default: nothing is computed during the recurrence, and
    the variable `cell.recurrent_kernel` is `R`. For the weights `w` that an optimizer
    step leaves, with the singular value decomposition `w = U Σ Vᵀ`,

        R = U Vᵀ                        in a unitary cell
        R = U min(Σ, max_norm) Vᵀ       in a contractive one

    the nearest matrix on the set. The initial value is projected likewise. Every
    orthogonal matrix, of either determinant, and every contractive one is reached;
    training moves between the two determinants only by a step long enough to cross.
    Cost: O(n³) once per optimizer step, O(n²) per time step. Parameters: n².

    Args:
        method: string, how the projection is computed: `"auto"`, `"svd"` or
            `"newton_schulz"`, as in `keras_urnn.UnitaryProjection`. Defaults to
            `"auto"`.

    Raises:
        ValueError: for another method; in `assign`, for a matrix of another shape or
            off the set; and before a cell is built.
        TypeError: in `assign`, for what is no array of real numbers.

    Example:
        ```python
        projection = keras_urnn.parametrizations.Projection(method="svd")
        cell = keras_urnn.UnitaryRNNCell(8, parametrization=projection)
        ```

    Reference:
        - [Emami et al., 2019](https://arxiv.org/abs/1910.13672), section 5
    """

    def __init__(self, method: str = "auto") -> None:
        self.method = linalg.check_method(method)
        self._cell: Any = None

    def build(self, cell: Any) -> None:
        self._cell = cell
        constraint = cell.recurrent_projection(self.method)

        def initializer(shape: tuple[int, ...], dtype: str) -> Tensor:
            # There is no QR or SVD below float32, which initializers may need.
            wide = dtype if dtype == "float64" else "float32"
            start = _checked_start(cell.recurrent_initializer, shape, wide)
            return ops.cast(constraint(start), dtype)

        cell.recurrent_kernel = cell.add_weight(
            shape=(cell.units, cell.units),
            name="recurrent_kernel",
            initializer=initializer,
            regularizer=cell.recurrent_regularizer,
            constraint=constraint,
        )

    def prepare(self) -> Tensor:
        return ops.convert_to_tensor(self._kernel())

    def apply(self, h: Tensor, prepared: Tensor) -> Tensor:
        return matmul(h, prepared)

    def matrix(self) -> Tensor:
        return self.prepare()

    def assign(self, matrix: Any) -> None:
        kernel = self._kernel()
        advice = "Pass the recurrent matrix itself."
        expected = "a matrix of real numbers"
        value = _numbers.real_array("matrix", matrix, expected, advice)
        if value.shape != tuple(kernel.shape):
            expected = str(tuple(kernel.shape))
            raise _checks.error("matrix.shape", expected, value.shape, advice)
        if not np.all(np.isfinite(value)):
            advice = "What it comes from has diverged."
            raise _checks.error("matrix", "finite", "NaN or Inf in it", advice)
        distance = np.linalg.norm(value - self._nearest(value))
        if not distance <= 4.0 * len(value) * linalg.EPSILON[kernel.dtype]:
            raise ValueError(
                "`matrix` must be on the set of "
                f"{type(kernel.constraint).__name__}. Received: a matrix at distance "
                f"{distance:.3g} from it. Project it first, with "
                "`cell.recurrent_kernel.constraint(matrix)`."
            )
        kernel.assign(value)

    def _kernel(self) -> keras.Variable:
        if self._cell is None:
            raise ValueError(
                "A parametrization must belong to a built cell to have a matrix. "
                "Received: one without a cell. A cell takes a copy of the one that it "
                "is given: use `cell.parametrization`."
            )
        return self._cell.recurrent_kernel

    def _nearest(self, value: Tensor) -> Any:
        constraint = self._cell.recurrent_kernel.constraint
        return ops.convert_to_numpy(constraint(ops.convert_to_tensor(value)))

    def get_config(self) -> dict[str, Any]:
        return {"method": self.method}


def _checked_start(initializer: Any, shape: tuple[int, ...], dtype: str) -> Tensor:
    """The matrix that an initializer returns for this shape, or raise."""
    try:
        start = initializer(shape, dtype=dtype)
        found: Any = tuple(start.shape)
    except RuntimeError as cause:  # as PyTorch raises where shapes don't fit
        start, found = None, str(cause)
    if found != tuple(shape):
        expected = f"an initializer that returns the shape {tuple(shape)}"
        advice = "It starts the recurrent matrix."
        raise _checks.error("recurrent_initializer", expected, found, advice)
    return start
