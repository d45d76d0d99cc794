"""The weights of maps that give a matrix up to the signs of its columns."""

from collections.abc import Callable
from functools import partial
from typing import Any

from keras_urnn.parametrizations.base import Array, initial_matrix, initializers


def add_signed_weights(
    cell: Any,
    name: str,
    shape: tuple[int, ...],
    weights: Callable[[Array], tuple[Array, Array]],
) -> None:
    """Create the raw weights of a map, and the diagonal `D` of signs, not trained.

    Args:
        cell: the cell, which gets them as `recurrent_signs` and under `name`.
        name: string.
        shape: tuple, that of the raw weights.
        weights: takes the initial matrix, and returns the raw weights and the signs.
    """
    start = partial(initial_matrix, cell, cell.recurrent_projection("auto"))
    raw, signs = initializers(2, start, weights)
    variable = cell.add_weight(
        shape=shape,
        name=name,
        initializer=raw,
        regularizer=cell.recurrent_regularizer,
        autocast=False,
    )
    setattr(cell, name, variable)
    cell.recurrent_signs = cell.add_weight(
        shape=(cell.width,),
        name="recurrent_signs",
        initializer=signs,
        trainable=False,
        autocast=False,
    )
