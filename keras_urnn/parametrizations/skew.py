"""Skew-symmetric matrices from raw weights, for the maps that start from them."""

from typing import Any

import numpy as np
from keras import ops

from keras_urnn import _backend
from keras_urnn.linalg import Tensor
from keras_urnn.parametrizations.base import Array


def working_dtype(cell: Any) -> str:
    """The dtype that a map is computed in: float32 at least."""
    return _backend.product_dtype(cell.variable_dtype)


def skew(raw: Tensor, dtype: str) -> Tensor:
    """`A = tril(a) - tril(a)ᵀ`, without the diagonal of `a`."""
    lower = ops.tril(ops.cast(raw, dtype), k=-1)
    return lower - ops.transpose(lower)


def raw_of(matrix: Array) -> Array:
    """Raw weights that give the skew-symmetric part of a matrix."""
    return np.tril(0.5 * (matrix - matrix.T), k=-1)
