"""Complex matrices as real ones.

`A + iB` is stored as `[A | B]`. As `[[A, B], [-B, A]]`, its embedding, it acts from the
right on rows `[Re | Im]`. Products, transposes (for the conjugate transpose), inverses
and polar factors of embeddings are the embeddings of those of the complex matrices.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from keras import ops

from keras_urnn.linalg.iterations import Tensor


def embedding(parts: Any) -> Any:
    """`[[A, B], [-B, A]]` of `[A | B]`, a tensor or an array."""
    half = parts.shape[-1] // 2
    a, b = parts[..., :half], parts[..., half:]
    concatenate = np.concatenate if isinstance(parts, np.ndarray) else ops.concatenate
    return concatenate([parts, concatenate([-b, a], axis=-1)], axis=-2)


def parts_of(matrix: Any) -> Any:
    """`[A | B]` of an embedding, a tensor or an array."""
    return matrix[..., : matrix.shape[-2] // 2, :]


def nearest_parts(matrix: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """`[A | B]` of the nearest embedding to a real matrix, in the Frobenius norm."""
    n = len(matrix) // 2
    a = 0.5 * (matrix[:n, :n] + matrix[n:, n:])
    b = 0.5 * (matrix[:n, n:] - matrix[n:, :n])
    return np.concatenate([a, b], axis=-1)


def through_embedding(function: Callable[[Tensor], Tensor], parts: Tensor) -> Tensor:
    """`[A | B]` of what a function gives of the embedding, which must be one, too."""
    return parts_of(function(embedding(parts)))
