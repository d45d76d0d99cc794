"""The matrices of what a diagnostic is asked about, in float64."""

from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_urnn import _checks, _numbers

Array = NDArray[np.float64]

_EXPECTED = (
    "a matrix of real numbers, or a cell, layer or model with a recurrent matrix of "
    "this library"
)
_ADVICE = "Pass the matrix itself: `layer.kernel`, say."


def of_each(measure: Callable[[Array], Any], target: Any) -> Any:
    """What a function gives for a matrix, or a dict of that for those of a model."""
    if not isinstance(target, keras.Model):
        return measure(matrix_of(target))
    found = {name: measure(matrix_of(cell)) for name, cell in cells_in(target)}
    if not found:
        found_instead = f"the model {target.name!r}, in which no layer has one"
        raise _checks.error("target", _EXPECTED, found_instead, _ADVICE)
    return found


def matrix_of(target: Any) -> Array:
    """The matrix itself, or that of a cell or of a layer over one cell, or raise."""
    if isinstance(target, keras.layers.RNN):
        target = target.cell
    if isinstance(target, keras.layers.Layer):
        if not _has_matrix(target):
            raise _checks.type_error("target", _EXPECTED, target, _ADVICE)
        target = target.recurrent_matrix()
    matrix = _numbers.real_array("target", target, _EXPECTED, _ADVICE)
    if matrix.ndim < 2 or matrix.size == 0:
        raise ValueError(
            f"`target` must be {_EXPECTED}. Received: an array of shape "
            f"{matrix.shape}. {_ADVICE}"
        )
    return matrix


def cells_in(layer: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """The cells of this library in a layer or model, by the names of their layers.

    `"rnn"` for that of a layer of this name, `"outer/rnn"` inside of another model or
    wrapper; where a layer has several cells, the name of the cell follows.
    """
    for inner, name in _inside(layer):
        below = f"{path}/{name}".strip("/")
        if _has_matrix(inner) and not isinstance(inner, keras.layers.RNN):
            yield below, inner
        else:
            yield from cells_in(inner, below)


def _inside(layer: Any) -> list[tuple[Any, str]]:
    """The layers or cells right inside of one, with what they add to its path."""
    if isinstance(layer, keras.Model):
        return [(one, one.name) for one in layer.layers]
    if isinstance(layer, keras.layers.Bidirectional):
        both = layer.forward_layer, layer.backward_layer
        return [(one, one.name) for one in both]
    if isinstance(layer, keras.layers.Wrapper):
        return [(layer.layer, layer.layer.name)]
    if isinstance(layer, keras.layers.StackedRNNCells):
        return [(cell, cell.name) for cell in layer.cells]
    if isinstance(layer, keras.layers.RNN):
        return [(layer.cell, "")]
    return []


def _has_matrix(layer: Any) -> bool:
    return callable(getattr(layer, "recurrent_matrix", None))
