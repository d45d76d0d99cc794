"""Numbers that say what a recurrent matrix is, in float64 NumPy."""

import math
from typing import Any

import numpy as np

from keras_urnn import _checks
from keras_urnn.diagnostics.matrices import Array, of_each


def unitarity_error(target: Any) -> Any:
    """The largest entry of `|RᵀR - I|`; of `|R Rᵀ - I|` where `R` is wide.

    Zero for a matrix with orthonormal columns (rows); about 1e-7 to 1e-6 for one that
    is orthogonal to rounding in float32. For a batch it is the largest of them.

    Args:
        target: a matrix of shape `(..., rows, columns)` (a tensor, a Keras variable or
            an array); or a built cell or layer of this library, or a
            `keras.layers.RNN` over such a cell, whose `recurrent_matrix()` is taken; or
            a model with such layers.

    Returns:
        A `float`; NaN where an entry is not finite, infinite where products of the
        entries are beyond a double. For a model a dict from the names of its layers to
        such numbers. The name of a layer inside of another follows that one's and a
        slash.

    Raises:
        ValueError: where there are fewer than two axes or no entries, the layer is not
            built, or the model has no such layer.
        TypeError: for another layer, and for what is no array of real numbers.

    Example:
        ```python
        layer = keras_urnn.UnitaryRNN(8)
        y = layer(keras.random.normal((2, 5, 3)))  # shape (2, 8)
        keras_urnn.diagnostics.unitarity_error(layer)  # about 3e-7
        ```
    """
    return of_each(_unitarity_error, target)


def _unitarity_error(matrix: Array) -> float:
    if not np.all(np.isfinite(matrix)):
        return float("nan")
    transposed = np.swapaxes(matrix, -1, -2)
    rows, columns = matrix.shape[-2:]
    with np.errstate(over="ignore", invalid="ignore"):
        gram = transposed @ matrix if rows >= columns else matrix @ transposed
        error = float(np.max(np.abs(gram - np.eye(min(rows, columns)))))
    return math.inf if math.isnan(error) else error


def spectral_norm(target: Any) -> Any:
    """The spectral norm `‖R‖ = max ‖hR‖ / ‖h‖`, the largest singular value.

    Args:
        target: as for `unitarity_error`.

    Returns:
        A `float`; NaN where an entry is not finite. For a model a dict, as from
        `unitarity_error`.

    Raises:
        ValueError, TypeError: as for `unitarity_error`.

    Example:
        ```python
        keras_urnn.diagnostics.spectral_norm(2.0 * np.eye(3))  # 2.0
        ```
    """
    return of_each(_spectral_norm, target)


def _spectral_norm(matrix: Array) -> float:
    if not np.all(np.isfinite(matrix)):
        return float("nan")  # an SVD may spin for ever on Inf
    return float(np.max(np.linalg.svd(matrix, compute_uv=False)))


def eigen_angles(target: Any) -> Any:
    """The angles `arg λ` of the eigenvalues of `R`, in radians, from the least on.

    The eigenvalues of an orthogonal matrix are `exp(iθ)`: a state turns by `θ` in their
    planes in each step. Angles of a real matrix come in pairs `±θ`, beside 0 and π.

    Args:
        target: as for `unitarity_error`; a matrix has to be square.

    Returns:
        An array of shape `(..., n)` with numbers in (-π, π]; NaN where an entry of the
        matrix is not finite. For a model a dict, as from `unitarity_error`.

    Raises:
        ValueError: as for `unitarity_error`, and for a matrix that is not square.
        TypeError: as for `unitarity_error`.

    Example:
        ```python
        quarter = np.array([[0.0, 1.0], [-1.0, 0.0]])
        keras_urnn.diagnostics.eigen_angles(quarter)  # [-1.5708, 1.5708]
        ```
    """
    return of_each(_eigen_angles, target)


def _eigen_angles(matrix: Array) -> Array:
    _check_square(matrix)
    if not np.all(np.isfinite(matrix)):
        return np.full(matrix.shape[:-1], np.nan)
    angles = np.angle(np.linalg.eigvals(matrix))
    return np.sort(np.where(angles == -np.pi, np.pi, angles), axis=-1)


def determinant_sign(target: Any) -> Any:
    """The sign of the determinant of `R`: 1 of a rotation, -1 with a reflection.

    The orthogonal matrices of the two signs are not connected: training by small steps
    stays on one side.

    Args:
        target: as for `unitarity_error`; a matrix has to be square.

    Returns:
        A `float`, 1.0, -1.0, or 0.0 for a singular matrix; NaN where an entry is not
        finite. For a batch an array of them. For a model a dict, as from
        `unitarity_error`.

    Raises:
        ValueError: as for `unitarity_error`, and for a matrix that is not square.
        TypeError: as for `unitarity_error`.

    Example:
        ```python
        keras_urnn.diagnostics.determinant_sign(np.diag([1.0, -1.0]))  # -1.0
        ```
    """
    return of_each(_determinant_sign, target)


def _determinant_sign(matrix: Array) -> Any:
    _check_square(matrix)
    if not np.all(np.isfinite(matrix)):
        return float("nan")
    signs = np.linalg.slogdet(matrix)[0]
    return float(signs) if signs.ndim == 0 else signs


def _check_square(matrix: Array) -> None:
    if matrix.shape[-1] != matrix.shape[-2]:
        advice = "Only a square matrix has eigenvalues and a determinant."
        raise _checks.error("target.shape", "(..., n, n)", matrix.shape, advice)
