"""A dense recurrent matrix, kept on its set by a constraint."""

from typing import Any

from keras import ops

from keras_urnn import _checks, linalg
from keras_urnn._backend import matmul
from keras_urnn._serialization import register
from keras_urnn.constraints import FIELDS
from keras_urnn.linalg import Tensor
from keras_urnn.linalg.complex_matrices import stored, whole
from keras_urnn.linalg.tangent import with_tangent_gradient
from keras_urnn.parametrizations.base import Array, Parametrization, initial_matrix


@register
class Projection(Parametrization):
    """Keeps the matrix itself and projects it after each optimizer step.

    The paper's method and the default: nothing is computed during the recurrence, and
    the variable `cell.recurrent_kernel` is `R`. (Of complex states it is `[A | B]`, and
    `R` the matrix `[[A, B], [-B, A]]`.) For the weights `w` that an optimizer
    step leaves, with the singular value decomposition `w = U Σ Vᵀ`,

        R = U Vᵀ                        in a unitary cell
        R = U min(Σ, max_norm) Vᵀ       in a contractive one

    the nearest matrix on the set. The initial value is projected likewise. Every
    orthogonal matrix, of either determinant, and every contractive one is reached;
    training moves between the two determinants only by a step long enough to cross.
    Cost: O(n³) once per optimizer step, O(n²) per time step. Parameters: n².

    With `tangent=True` the gradient `G` of a loss for `R` becomes

        G - R (RᵀG + GᵀR) / 2

    before any optimizer sees it: its part along the orthogonal matrices. (Of a complex
    matrix, `Rᵀ` is the conjugate transpose.) What is left out points off the set, and
    the projection takes a step that way back, but for terms of the second order in its
    length. So plain gradient descent is hardly changed. Optimizers that remember or
    rescale gradients (momentum, `Adam`), and gradients clipped by their norm, are: they
    no longer count what is taken back. The gradient of a `recurrent_regularizer` and
    weight decay are not projected.

    Args:
        method: string, how the projection is computed: `"auto"`, `"svd"` or
            `"newton_schulz"`, as in `keras_urnn.UnitaryProjection`. Defaults to
            `"auto"`.
        field: string. `"complex"` is for a cell of complex states, a full-capacity
            uRNN: the variable is `[A | B]` of shape `(units, 2 units)`, and `A + iB`
            the nearest unitary (contractive) matrix. Every one is reached. Defaults
            to `"real"`.
        tangent: boolean. Whether to project gradients, too. Choose it for an adaptive
            optimizer or momentum; it costs two products of matrices once per training
            step. For unitary cells only: inside their ball contractive matrices move in
            every direction. Defaults to `False`.

    Raises:
        ValueError: for another method or field; in `assign`, for a matrix of another
            shape, form or off the set; and before a cell is built.
        TypeError: for a `tangent` that is no boolean; in `assign`, for what is no array
            of real numbers.

    Example:
        ```python
        projection = keras_urnn.parametrizations.Projection(method="svd")
        cell = keras_urnn.UnitaryRNNCell(8, parametrization=projection)
        ```

    Reference:
        - [Emami et al., 2019](https://arxiv.org/abs/1910.13672), section 5
        - [Wisdom et al., 2016](https://arxiv.org/abs/1611.00035), the complex one, and
          training along the unitary matrices
        - Absil, Mahony and Sepulchre, Optimization Algorithms on Matrix Manifolds,
          2008, sections 3.6 and 4.1, the tangent part and the step back to the set
    """

    sets: tuple[str, ...] = ("unitary", "contractive")
    systems = 'the RNNs of the paper; full-capacity uRNN with `field="complex"`'
    reaches = "O(n), U(n); every contractive matrix"
    parameters = "n²; 2n² if complex"
    cost = "O(n³) an optimizer step, O(n²) a step"
    paper = "[Emami et al., 2019](https://arxiv.org/abs/1910.13672)"

    def __init__(
        self, method: str = "auto", field: str = "real", tangent: bool = False
    ) -> None:
        self.method = linalg.check_method(method)
        advice = "It is that of the states of the cell."
        self.field = _checks.one_of("field", field, FIELDS, advice)
        advice = "It is whether gradients are projected, too."
        self.tangent = _checks.boolean("tangent", tangent, advice)
        if self.tangent:
            self.sets = ("unitary",)

    def build(self, cell: Any) -> None:
        self._cell = cell
        constraint = cell.recurrent_projection(self.method)
        cell.recurrent_kernel = cell.add_weight(
            shape=(cell.units, cell.width),
            name="recurrent_kernel",
            initializer=lambda shape, dtype: ops.cast(
                stored(initial_matrix(cell, constraint), self.field), dtype
            ),
            regularizer=cell.recurrent_regularizer,
            constraint=constraint,
            # The tangent at a matrix that is rounded to half precision is another one.
            autocast=not self.tangent,
        )

    def prepare(self) -> Tensor:
        kernel = ops.convert_to_tensor(self.cell.recurrent_kernel)
        if self.tangent:
            kernel = with_tangent_gradient(kernel, self.field)
        return whole(kernel, self.field)

    def apply(self, h: Tensor, prepared: Tensor) -> Tensor:
        return matmul(h, prepared)

    def matrix(self) -> Tensor:
        return self.prepare()

    def set_matrix(self, matrix: Array) -> None:
        self.cell.recurrent_kernel.assign(stored(matrix, self.field))

    def get_config(self) -> dict[str, Any]:
        options = {"field": self.field, "tangent": self.tangent}
        return {"method": self.method, **options}
