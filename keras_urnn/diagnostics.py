"""How far a matrix is from the set it should be on, measured in float64 NumPy."""

import math
from typing import Any

import keras
import numpy as np

from keras_urnn import _checks, _numbers


def unitarity_error(target: Any) -> float:
    """The largest entry of `|RᵀR - I|`; of `|R Rᵀ - I|` where `R` is wide.

    Zero for a matrix with orthonormal columns (rows); about 1e-7 to 1e-6 for one that
    is orthogonal to rounding in float32. For a batch it is the largest of them.

    Args:
        target: a matrix of shape `(..., rows, columns)` (a tensor, a Keras variable or
            an array), or a built cell or layer of this library, or a
            `keras.layers.RNN` over such a cell, whose `recurrent_matrix()` is taken.

    Returns:
        A `float`; NaN where an entry is not finite, infinite where products of the
        entries are beyond a double.

    Raises:
        ValueError: where there are fewer than two axes or no entries, or the layer is
            not built.
        TypeError: for another layer, and for what is no array of real numbers.

    Example:
        ```python
        layer = keras_urnn.UnitaryRNN(8)
        y = layer(keras.random.normal((2, 5, 3)))  # shape (2, 8)
        keras_urnn.diagnostics.unitarity_error(layer)  # about 3e-7
        ```
    """
    matrix = _as_array(target)
    if not np.all(np.isfinite(matrix)):
        return float("nan")
    transposed = np.swapaxes(matrix, -1, -2)
    rows, columns = matrix.shape[-2:]
    with np.errstate(over="ignore", invalid="ignore"):
        gram = transposed @ matrix if rows >= columns else matrix @ transposed
        error = float(np.max(np.abs(gram - np.eye(min(rows, columns)))))
    return math.inf if math.isnan(error) else error


def spectral_norm(target: Any) -> float:
    """The spectral norm `‖R‖ = max ‖hR‖ / ‖h‖`, the largest singular value.

    Args:
        target: as for `unitarity_error`.

    Returns:
        A `float`; NaN where an entry is not finite.

    Raises:
        ValueError, TypeError: as for `unitarity_error`.

    Example:
        ```python
        keras_urnn.diagnostics.spectral_norm(2.0 * np.eye(3))  # 2.0
        ```
    """
    matrix = _as_array(target)
    if not np.all(np.isfinite(matrix)):
        return float("nan")  # an SVD may spin for ever on Inf
    return float(np.max(np.linalg.svd(matrix, compute_uv=False)))


def _as_array(target: Any) -> np.ndarray[Any, np.dtype[np.float64]]:
    expected = "a matrix of real numbers, or a layer or cell of this library"
    advice = "Pass the matrix itself: `layer.kernel`, say."
    if isinstance(target, keras.layers.RNN):
        target = target.cell
    if isinstance(target, keras.layers.Layer):
        if not callable(getattr(target, "recurrent_matrix", None)):
            raise _checks.type_error("target", expected, target, advice)
        target = target.recurrent_matrix()
    matrix = _numbers.real_array("target", target, expected, advice)
    if matrix.ndim < 2 or matrix.size == 0:
        raise ValueError(
            f"`target` must be {expected}. Received: an array of shape "
            f"{matrix.shape}. {advice}"
        )
    return matrix
