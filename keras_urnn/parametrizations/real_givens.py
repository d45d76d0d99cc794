"""The weights of layers of real rotations: angles, and a diagonal `D` of signs.

`Givens` takes the functions of this file or of `complex_givens`, by its field.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from keras import ops

from keras_urnn._backend import cos_and_sin
from keras_urnn.linalg import Tensor
from keras_urnn.linalg.rotation_layers import Parts
from keras_urnn.parametrizations.base import Array
from keras_urnn.parametrizations.diagonal_weights import add_signed_weights
from keras_urnn.parametrizations.rotations import (
    Decomposition,
    Layer,
    completely_decomposed,
    decomposed,
)
from keras_urnn.parametrizations.skew import working_dtype

FACTORS = 3  # that a layer has, as `turned` takes them


def add_weights(
    cell: Any, rotations: int, weights: Callable[[Array], tuple[Array, Array]]
) -> None:
    """Create the weights of a cell, of which `weights` gives those of a matrix."""
    add_signed_weights(cell, "recurrent_angles", (rotations,), weights)


def set_weights(cell: Any, angles: Array, signs: Array) -> None:
    """Set the weights to those of a decomposition."""
    cell.recurrent_angles.assign(angles)
    cell.recurrent_signs.assign(signs)


def factors(cell: Any, layers: Sequence[Layer]) -> tuple[Tensor, ...]:
    """Those of all layers, of shape `(L, n)`, and the signs."""
    dtype = working_dtype(cell)
    angles = ops.cast(cell.recurrent_angles, dtype)
    signs = ops.cast(cell.recurrent_signs, dtype)
    return *factors_of(angles, layers, cell.width), signs


def factors_of(
    angles: Tensor, layers: Sequence[Layer], n: int
) -> tuple[Tensor, Tensor, Tensor]:
    """The three factors of rotations of `n` states, of shape `(L, n)`."""
    cos, sin = cos_and_sin(angles)
    first, second = places(layers, n)
    one, zero = ops.ones((1,), angles.dtype), ops.zeros((1,), angles.dtype)
    return (
        ops.take(ops.concatenate([cos, one]), np.minimum(first, second)),
        ops.take(ops.concatenate([-sin, zero]), first),
        ops.take(ops.concatenate([sin, zero]), second),
    )


def places(layers: Sequence[Layer], n: int) -> tuple[Array, Array]:
    """Which angle each state has as the first of a pair, and which as the second.

    Of shape `(L, n)`. The number of all angles stands for none.
    """
    count = sum(len(layer.first) for layer in layers)
    first = np.full((len(layers), n), count)
    second, start = first.copy(), 0
    for k, (stride, a) in enumerate(layers):
        angles = np.arange(start, start + len(a))
        first[k, a] = second[k, a + stride] = angles
        start += len(a)
    return first, second


def ended(h: Parts, signs: Tensor) -> Parts:
    """`h D`, which is `h Dᵀ`, too."""
    return tuple(one * signs for one in h)


ended_back = ended


def found_in(matrix: Array, layers: Sequence[Layer], complete: bool) -> Decomposition:
    """The angles and signs of a matrix, and how far they miss it."""
    return completely_decomposed(matrix) if complete else decomposed(matrix, layers)


def instead_of(matrix: Array, layers: Sequence[Layer]) -> tuple[Array, Array]:
    """Angles and signs that take the place of those of a matrix that is missed."""
    signs = np.ones(len(matrix))
    signs[-1] = np.linalg.slogdet(matrix)[0]
    return directions(matrix, layers), signs


def directions(matrix: Array, layers: Sequence[Layer]) -> Array:
    """For the pair `(a, b)` of layer `l` the direction of its entries `(l, a), (l, b)`.

    As an angle, for all layers one after the other.
    """
    angles = [
        np.arctan2(row[layer.first + layer.stride], row[layer.first])
        for row, layer in zip(matrix, layers, strict=False)
    ]
    return np.concatenate(angles)
