"""Run whole models on batches of random and constant inputs."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np

from keras_urnn._backend import inference
from keras_urnn.equivalence.models.graph import (
    leaves,
)
from keras_urnn.equivalence.models.inputs import Entrances
from keras_urnn.equivalence.ranges.intervals import Array, to_float64
from keras_urnn.equivalence.verification.trial_inputs import Sampling

Batch = list[Array]


def trial_batches(model: Any, entrances: Entrances, sampling: Sampling) -> list[Batch]:
    """Random inputs and constant corners, in batches of the size of the model."""
    drawn = [_drawn(tensor, entrances, sampling) for tensor in model.inputs]
    rows, size = 2 * sampling.batch_size, model.inputs[0].shape[0]
    if size is None:
        return [drawn]
    # The last batch is filled up with the first rows.
    batches = np.arange(-(-rows // size) * size).reshape(-1, size) % rows
    return [[x[batch] for x in drawn] for batch in batches]


def _drawn(tensor: Any, entrances: Entrances, sampling: Sampling) -> Array:
    # An axis of unknown length is time.
    shape = tuple(size or sampling.steps for size in tensor.shape[1:])
    if tensor.name in entrances.tables:
        rows = entrances.tables[tensor.name]
        tokens = sampling.generator.integers(
            rows, size=(2 * sampling.batch_size, *shape)
        )
        return tokens.astype(tensor.dtype)
    return sampling.inputs(entrances.inputs[tensor.name], shape).astype(tensor.dtype)


class Runner:
    """Runs a model, compiled once, on as many batches as it is given.

    Args:
        model: built model.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self._stateful = _stateful_layers(model)
        self._compiled = inference(model)

    def outputs(self, batches: Sequence[Batch], horizon: int | None) -> list[Array]:
        """All outputs for these batches, one after the other.

        A stateful model starts at rest and keeps its states from batch to batch, unless
        a horizon counts its steps. Afterwards it has the states that it had before.
        """
        found = []
        with _states_kept(self._stateful):
            for i, batch in enumerate(batches):
                for layer in self._stateful if i == 0 or horizon is not None else []:
                    layer.reset_state()
                found.append(self._run(packed(self._model, batch)))
        return [np.concatenate(parts) for parts in zip(*found, strict=True)]

    def _run(self, arguments: Any) -> list[Array]:
        # On JAX a compiled call does not keep the states of a stateful layer.
        if self._stateful:
            outputs = self._model(arguments, training=False)
        else:
            outputs = self._compiled(arguments)
        return [to_float64(y) for y in keras.tree.flatten(outputs)]


def packed(model: Any, inputs: Sequence[Any]) -> Any:
    """The inputs of a model in the structure that it takes."""
    if isinstance(model, keras.Sequential):
        return inputs[0]
    return keras.tree.pack_sequence_as(model.input, inputs)


def is_stateful(model: Any) -> bool:
    """Whether a layer of a model keeps its states from batch to batch."""
    return bool(_stateful_layers(model))


def _stateful_layers(model: Any) -> list[Any]:
    kinds = keras.layers.RNN | keras.layers.Bidirectional
    found = [layer for _, layer in leaves(model)]
    return [layer for layer in found if isinstance(layer, kinds) and layer.stateful]


@contextmanager
def _states_kept(layers: Sequence[Any]) -> Iterator[None]:
    states = [state for layer in layers for state in keras.tree.flatten(layer.states)]
    values = [np.array(keras.ops.convert_to_numpy(state)) for state in states]
    try:
        yield
    finally:
        for state, value in zip(states, values, strict=True):
            state.assign(value)
