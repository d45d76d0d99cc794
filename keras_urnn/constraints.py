"""Constraints that put a kernel back on the orthogonal or the contractive matrices."""

from collections.abc import Callable
from functools import partial
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_urnn import _checks, linalg
from keras_urnn._serialization import register
from keras_urnn.linalg import Tensor, complex_matrices

MOST_AXES = 32  # of what each backend computes with
FIELDS = ("real", "complex")


def _as_matrix(w: Any) -> Tensor:
    """The value of a kernel, which must have rows and columns."""
    try:
        with np.errstate(over="ignore"):  # Inf is returned as it is
            w = ops.convert_to_tensor(w)
    except (AttributeError, OverflowError, RuntimeError, ValueError) as cause:
        expected = "a matrix of floating-point numbers"
        raise _checks.error("w", expected, w, "Pass a tensor.") from cause
    if not ops.is_tensor(w):
        advice = "A symbolic tensor has no numbers yet: constrain a weight instead."
        raise _checks.type_error("w", "a tensor or a variable", w, advice)
    if not 2 <= len(w.shape) <= MOST_AXES:
        advice = "A vector such as a bias has no singular values; leave it out."
        expected = f"of shape (..., rows, columns), at most {MOST_AXES} axes"
        raise _checks.error("w.shape", expected, tuple(w.shape), advice)
    if ops.dtype(w) not in linalg.EPSILON:
        expected = "a floating dtype: " + ", ".join(linalg.EPSILON)
        raise _checks.type_error("w.dtype", expected, ops.dtype(w), "Cast it first.")
    return w


def _check_field(value: Any) -> str:
    advice = "Complex matrices are stored as `[Re | Im]`."
    return _checks.one_of("field", value, FIELDS, advice)


def _projected(project: Callable[[Tensor], Tensor], field: str, w: Any) -> Tensor:
    """The nearest matrix on a set; complex ones by way of their real form."""
    matrix = _as_matrix(w)
    if field == "real":
        return project(matrix)
    if matrix.shape[-1] % 2:
        advice = 'A real matrix has `field="real"`.'
        expected = "of shape (..., rows, 2 * columns), for [Re | Im]"
        raise _checks.error("w.shape", expected, tuple(matrix.shape), advice)
    return complex_matrices.through_embedding(project, matrix)


@register
class UnitaryProjection(keras.constraints.Constraint):
    """Maps a kernel to the nearest orthogonal matrix.

    The projection of the paper: after each optimizer step the kernel is replaced by
    the nearest matrix with orthonormal columns (rows, where it is wide). Choose
    `ContractiveProjection` to bound the singular values instead of fixing them.

    For the singular value decomposition `W = U Σ Vᵀ` of a kernel of shape
    `(rows, columns)`,

        w ← U Vᵀ

    is the nearest such matrix in the Frobenius norm. Leading axes are a batch of
    matrices. A kernel that is orthogonal to the rounding of its dtype is left
    unchanged, bit for bit; one with NaN or Inf is returned as it is, so that
    `keras.callbacks.TerminateOnNaN` sees it. float16 and bfloat16 kernels are
    projected in float32. Cost: O(rows · columns · min(rows, columns)).

    The map can be differentiated where the kernel has full rank, whatever the method:
    at an orthogonal `Q` a gradient `G` becomes `(G - Q Gᵀ Q) / 2`. A singular kernel
    has no unique polar factor and no derivative. The gradient that is returned there
    lacks what would be divided by the sum of two singular values that are 0 to
    rounding. It is finite. There is no second derivative.

    Works on any Keras layer: `Dense(64, kernel_constraint=UnitaryProjection())`.
    Keras applies constraints after optimizer steps only; with `use_ema=True` add
    `keras_urnn.callbacks.ReapplyConstraints`.

    Args:
        method: string. `"newton_schulz"` uses matrix products only, and returns NaN
            for a kernel that is rank-deficient to rounding. `"svd"` decomposes, which
            takes seconds for large kernels when TensorFlow compiles with XLA.
            `"auto"` uses products, and decomposes only where they do not converge.
            Defaults to `"auto"`.
        field: string. `"complex"` is for kernels `[A | B]` of shape
            `(rows, 2 columns)`, which stand for `A + iB`: they are mapped to the
            nearest unitary one. Defaults to `"real"`.

    Raises:
        ValueError: for another method or field, a kernel with fewer than two axes, and
            a complex one with an odd number of columns.
        TypeError: for a kernel that is not of a floating dtype.

    Example:
        ```python
        kernel = keras.random.normal((4, 3))
        keras_urnn.UnitaryProjection()(kernel)  # shape (4, 3), orthonormal columns
        ```

    Reference:
        - [Emami et al., 2019](https://arxiv.org/abs/1910.13672), section 5
        - Higham, Functions of Matrices, 2008, theorem 8.4
    """

    def __init__(self, method: str = "auto", field: str = "real") -> None:
        self.method, self.field = linalg.check_method(method), _check_field(field)

    def __call__(self, w: Tensor) -> Tensor:
        project = partial(linalg.polar_factor, method=self.method, field=self.field)
        return _projected(project, self.field, w)

    def get_config(self) -> dict[str, Any]:
        return {"method": self.method, "field": self.field}


@register
class ContractiveProjection(keras.constraints.Constraint):
    """Maps a kernel to the nearest matrix of spectral norm at most `max_norm`.

    Keeps a recurrence stable and forgetful, where `UnitaryProjection` keeps all of the
    state's norm. Singular values below `max_norm` are left as they are.

    For the singular value decomposition `W = U Σ Vᵀ` of a kernel of shape
    `(rows, columns)`,

        w ← U min(Σ, max_norm) Vᵀ

    is the nearest matrix of that norm in the Frobenius norm. Leading axes are a batch
    of matrices. A kernel inside the ball is left unchanged, bit for bit; one with NaN
    or Inf is returned as it is. float16 and bfloat16 kernels are projected in float32.
    Cost: O(rows · columns · min(rows, columns)).

    Where all singular values are above `max_norm`, the result is as exact as the polar
    factor, at any distance; where some are below, to `n ε ‖W‖` for the rounding `ε` of
    the dtype and `n` columns, as a backward-stable SVD is.

    The map can be differentiated where no singular value equals `max_norm`, whatever
    the method. In each kernel that was just projected some do. They count as inside
    the ball, to rounding: at a kernel on the set a gradient passes unchanged. There is
    no second derivative.

    Args:
        max_norm: number in (0, 1]. The largest spectral norm. Below 1 the map is
            contractive and its memory fades at least as fast as `max_norm**t`.
            Defaults to `0.999`.
        method: string. `"newton_schulz"` and `"auto"` use matrix products only;
            `"svd"` decomposes, which takes seconds for large kernels when TensorFlow
            compiles with XLA. Defaults to `"auto"`.
        field: string. `"complex"` is for kernels `[A | B]` of shape
            `(rows, 2 columns)`, which stand for `A + iB`. Defaults to `"real"`.

    Raises:
        ValueError: for a norm, method or field other than these, a kernel with fewer
            than two axes, and a complex one with an odd number of columns.
        TypeError: for a kernel that is not of a floating dtype.

    Example:
        ```python
        kernel = keras.random.normal((4, 4))
        keras_urnn.ContractiveProjection(0.9)(kernel)  # shape (4, 4), norm at most 0.9
        ```

    Reference:
        - [Emami et al., 2019](https://arxiv.org/abs/1910.13672), section 5
    """

    def __init__(
        self, max_norm: float = 0.999, method: str = "auto", field: str = "real"
    ) -> None:
        self.max_norm = _checks.max_norm(max_norm)
        self.method, self.field = linalg.check_method(method), _check_field(field)

    def __call__(self, w: Tensor) -> Tensor:
        clip = linalg.clip_singular_values
        project = partial(clip, max_norm=self.max_norm, method=self.method)
        return _projected(project, self.field, w)

    def get_config(self) -> dict[str, Any]:
        options = {"method": self.method, "field": self.field}
        return {"max_norm": self.max_norm, **options}
