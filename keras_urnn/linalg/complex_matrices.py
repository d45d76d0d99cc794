"""Complex matrices as real ones.

`A + iB` is stored as `[A | B]`. As `[[A, B], [-B, A]]`, its embedding, it acts from the
right on rows `[Re | Im]`. Products, transposes (for the conjugate transpose), inverses
and polar factors of embeddings are the embeddings of those of the complex matrices.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from keras import ops

from keras_urnn._backend import matmul
from keras_urnn.linalg.iterations import Tensor


def embedding(parts: Any) -> Any:
    """`[[A, B], [-B, A]]` of `[A | B]`, a tensor or an array."""
    half = parts.shape[-1] // 2
    a, b = parts[..., :half], parts[..., half:]
    return _joined([parts, _joined([-b, a], axis=-1)], axis=-2)


def parts_of(matrix: Any) -> Any:
    """`[A | B]` of an embedding, a tensor or an array."""
    return matrix[..., : matrix.shape[-2] // 2, :]


def stored(matrix: Any, field: str) -> Any:
    """What is kept of a matrix: `[A | B]` of an embedding, all of a real one."""
    return parts_of(matrix) if field == "complex" else matrix


def whole(parts: Any, field: str) -> Any:
    """The matrix of which this is kept."""
    return embedding(parts) if field == "complex" else parts


def of_real(a: Tensor, field: str) -> Tensor:
    """A real matrix as what is kept of one of a field: `[A | 0]` of a complex one."""
    if field == "real":
        return a
    return ops.concatenate([a, ops.zeros_like(a)], axis=-1)


def product(a: Tensor, b: Tensor) -> Tensor:
    """The product of two square matrices, real ones or both `[A | B]`.

    Of complex ones it takes half as many operations as that of their embeddings.
    """
    return matmul(a, embedding(b) if _is_complex(b) else b)


def adjoint(a: Tensor) -> Tensor:
    """The (conjugate) transpose of a square matrix, a real one or `[A | B]`."""
    if not _is_complex(a):
        return ops.transpose(a)
    re, im = ops.split(a, 2, axis=-1)
    return ops.concatenate([ops.transpose(re), -ops.transpose(im)], axis=-1)


def identity_like(a: Tensor) -> Tensor:
    """The unit matrix of the shape of a square matrix, a real one or `[A | B]`."""
    rows, columns = a.shape
    return ops.eye(rows, columns, dtype=a.dtype)


def _is_complex(a: Tensor) -> bool:
    return bool(a.shape[-1] != a.shape[-2])


def nearest_parts(matrix: Any) -> Any:
    """`[A | B]` of the nearest embedding to a real matrix, in the Frobenius norm."""
    rows, columns = matrix.shape[-2] // 2, matrix.shape[-1] // 2
    upper, lower = matrix[..., :rows, :], matrix[..., rows:, :]
    a = 0.5 * (upper[..., :columns] + lower[..., columns:])
    b = 0.5 * (upper[..., columns:] - lower[..., :columns])
    return _joined([a, b], axis=-1)


def _joined(parts: list[Any], axis: int) -> Any:
    arrays = isinstance(parts[0], np.ndarray)
    return (np.concatenate if arrays else ops.concatenate)(parts, axis=axis)


def through_embedding(function: Callable[[Tensor], Tensor], parts: Tensor) -> Tensor:
    """`[A | B]` of what a function gives of the embedding, which must be one, too."""
    return parts_of(function(embedding(parts)))
