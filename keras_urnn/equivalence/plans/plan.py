"""What is to be made: a new layer or cell, and the weights that it gets."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import keras
import numpy as np

from keras_urnn.equivalence.ranges.cells import cells_of, directions_of
from keras_urnn.layers.unitary_rnn import UnitaryRNN
from keras_urnn.parametrizations import Parametrization

STAGES = 2  # that a conversion of one cell shows in the progress bar


@dataclass(frozen=True)
class Options:
    """How `to_unitary` is to convert, as its arguments of these names say."""

    horizon: int | None = None
    minimize_states: bool = False
    parametrization: Parametrization | None = None


@dataclass(frozen=True, eq=False)
class Plan:
    """A new layer or cell, not yet built, and what sets its cells once it is.

    Attributes:
        layer: the new layer or cell.
        setters: for each of `cells_of(layer)` a function that sets its weights.
    """

    layer: Any
    setters: list[Callable[[Any], None]]

    def __post_init__(self) -> None:
        leave_unset(self.layer)

    def build(self, *shape: Any) -> Any:
        """Build the new layer for inputs of this shape, set its weights, return it."""
        self.layer.build(shape)
        return self.finish()

    def finish(self) -> Any:
        """Set the weights of the new layer, which has been built by a call."""
        draw_again(self.layer)
        for cell, set_weights in zip(cells_of(self.layer), self.setters, strict=True):
            set_weights(cell)
        for layer in directions_of(self.layer):
            if type(layer) is UnitaryRNN:
                layer.reset_state()  # does nothing where it is not stateful
        return self.layer


def leave_unset(new: Any) -> None:
    """Let a layer that is not yet built make its weights as zeros.

    They are set once it is built. To draw them first, and project them, takes most of
    a conversion on JAX, which compiles each initializer. Only layers of Keras and of
    this library: others may use what they draw in their `build`. Not on PyTorch, which
    compiles nothing: there the order of a matrix in memory, which the initializer
    decides, decides how sums of products are rounded.
    """
    for part in _parts(new) if keras.config.backend() != "torch" else []:
        if type(part).__module__.partition(".")[0] in ("keras", "keras_urnn"):
            part.add_weight = partial(_add_zeros, part.add_weight)


def draw_again(new: Any) -> None:
    """Undo `leave_unset`: weights that are made from now on are drawn."""
    for part in _parts(new):
        vars(part).pop("add_weight", None)


def _parts(layer: Any) -> list[Any]:
    """A layer and its cells; nothing of what has no weights, as an operation."""
    if not isinstance(layer, keras.Layer):
        return []
    return list(dict.fromkeys([layer, *cells_of(layer)]))


def _add_zeros(add_weight: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    if len(args) > 1:
        return add_weight(args[0], _zeros, *args[2:], **kwargs)
    return add_weight(*args, **{**kwargs, "initializer": _zeros})


def _zeros(shape: tuple[int, ...], dtype: str) -> Any:
    # NumPy's, as JAX compiles its own for each shape.
    return keras.ops.convert_to_tensor(np.zeros(shape, "float32"), dtype=dtype)
