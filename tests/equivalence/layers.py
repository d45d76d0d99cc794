"""Built Keras layers and cells around the networks of `networks.py`."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

import keras_urnn as ku
from tests.equivalence.networks import FEATURES, Array, recurrence

STEPS = 1000


def cell_weights(cell: Any, norm: float, seed: int) -> list[Array]:
    """Weights in the order of `cell`: what it lacks is left out."""
    network = recurrence(int(cell.units), norm, seed)
    weights = [network.kernel, network.recurrent_matrix]
    weights += [network.bias] if cell.use_bias else []
    learned = getattr(cell, "learn_initial_state", False)
    return weights + ([network.initial_state] if learned else [])


def build(
    layer: Any, norm: float = 0.9, seed: int = 1, batch: int | None = None
) -> Any:
    """Build a layer or cell over one cell, with random weights of this norm."""
    cell = getattr(layer, "cell", layer)
    layer.build((batch, FEATURES) if cell is layer else (batch, None, FEATURES))
    cell.set_weights(cell_weights(cell, norm, seed))
    return layer


# Every kind of layer that can be converted.
SOURCES: dict[str, Callable[..., Any]] = {
    "contractive": ku.ContractiveRNN,
    "simple": lambda units, **kwargs: keras.layers.SimpleRNN(units, "relu", **kwargs),
    "rnn-contractive": lambda units, **kwargs: keras.layers.RNN(
        ku.ContractiveRNNCell(units), **kwargs
    ),
    "rnn-simple": lambda units, **kwargs: keras.layers.RNN(
        keras.layers.SimpleRNNCell(units, "relu"), **kwargs
    ),
}


def full_states(layer: Any, x: Array) -> Array:
    """All states of a converted layer at each step, the added ones in view."""
    cell = layer.cell
    copy = ku.UnitaryRNNCell.from_config({**cell.get_config(), "output_units": None})
    copy.build((None, x.shape[-1]))
    copy.set_weights(cell.get_weights())
    return run(
        keras.layers.RNN(copy, return_sequences=True, dtype=cell.dtype_policy), x
    )


def run(layer: Any, x: Array) -> Array:
    """The outputs of a layer, compiled as `predict` does."""
    entrance = keras.Input(x.shape[1:], dtype=x.dtype.name)
    model = keras.Sequential([entrance, layer])
    return np.asarray(model.predict_on_batch(x), dtype="float64")
