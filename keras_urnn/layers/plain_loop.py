"""Keras' loop over the cell, whose recurrent map is computed once before it."""

from collections.abc import Callable
from functools import partial
from typing import Any

import keras

from keras_urnn.layers import fusing
from keras_urnn.linalg import Tensor


def inner_loop(
    layer: Any, sequences: Tensor, initial_state: Any, mask: Any, training: bool
) -> tuple[Tensor, Tensor, Any]:
    """What `keras.layers.RNN.inner_loop` does, with a map that no step computes."""
    if not fusing.has_own_step(layer.cell):
        # Keras passes `training` only to cells that are layers.
        step = partial(layer.cell, prepared=layer.cell.prepared(), training=training)
        layer = _WithStep(layer, step)
    return keras.layers.RNN.inner_loop(
        layer, sequences, initial_state, mask, training=training
    )


class _WithStep:
    """A layer as Keras' loop sees it, with another function as its cell."""

    def __init__(self, layer: Any, step: Callable[..., Any]) -> None:
        self._layer = layer
        self.cell = step

    def __getattr__(self, name: str) -> Any:
        return getattr(self._layer, name)
