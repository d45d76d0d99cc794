"""The weights of maps that give a complex matrix up to the phases of its columns."""

from collections.abc import Callable
from functools import partial
from typing import Any

from keras_urnn.parametrizations.base import Array, initial_matrix, initializers


def add_phased_weights(
    cell: Any,
    name: str,
    shape: tuple[int, ...],
    weights: Callable[[Array], tuple[Array, Array]],
) -> None:
    """Create the raw weights of a map, and the phases of the diagonal `D`, trained.

    Args:
        cell: the cell, which gets them as `recurrent_phases` and under `name`.
        name: string.
        shape: tuple, that of the raw weights.
        weights: takes the initial matrix, and returns the raw weights and the phases.
    """
    start = partial(initial_matrix, cell, cell.recurrent_projection("auto"))
    raw, phases = initializers(2, start, weights)
    variable = cell.add_weight(
        shape=shape,
        name=name,
        initializer=raw,
        regularizer=cell.recurrent_regularizer,
        autocast=False,
    )
    setattr(cell, name, variable)
    cell.recurrent_phases = cell.add_weight(
        shape=(cell.units,),
        name="recurrent_phases",
        initializer=phases,
        autocast=False,
    )
