"""The weights of maps that give a matrix up to a diagonal `D` at its end."""

from collections.abc import Callable
from functools import partial
from typing import Any

from keras_urnn.parametrizations.base import Array, initial_matrix, initializers

Weights = Callable[[Array], tuple[Array, Array]]


def add_signed_weights(
    cell: Any, name: str, shape: tuple[int, ...], weights: Weights
) -> None:
    """Create the raw weights of a map, and the diagonal `D` of signs, not trained.

    Args:
        cell: the cell, which gets them as `recurrent_signs` and under `name`.
        name: string.
        shape: tuple, that of the raw weights.
        weights: takes the initial matrix, and returns the raw weights and the signs.
    """
    diagonal = {"name": "recurrent_signs", "shape": (cell.width,), "trainable": False}
    _add(cell, {"name": name, "shape": shape}, diagonal, weights)


def add_phased_weights(
    cell: Any, name: str, shape: tuple[int, ...], weights: Weights
) -> None:
    """The same for complex matrices: `D` has phases, `recurrent_phases`, trained."""
    diagonal = {"name": "recurrent_phases", "shape": (cell.units,)}
    _add(cell, {"name": name, "shape": shape}, diagonal, weights)


def _add(
    cell: Any, raw: dict[str, Any], diagonal: dict[str, Any], weights: Weights
) -> None:
    start = partial(initial_matrix, cell, cell.recurrent_projection("auto"))
    raw = {**raw, "regularizer": cell.recurrent_regularizer}
    drawn = initializers(2, start, weights)
    for options, initializer in zip((raw, diagonal), drawn, strict=True):
        variable = cell.add_weight(initializer=initializer, autocast=False, **options)
        setattr(cell, options["name"], variable)
