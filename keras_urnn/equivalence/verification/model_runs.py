"""Run whole models, and record what enters their recurrent layers on the way."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_urnn._backend import inference
from keras_urnn.equivalence.models.graph import (
    Call,
    arguments_of,
    entering_model,
    graph_of,
    leaves,
)
from keras_urnn.equivalence.models.inputs import Entrances
from keras_urnn.equivalence.models.propagation import Survey
from keras_urnn.equivalence.models.rebuilding import Rebuilding
from keras_urnn.equivalence.ranges.initial_states import states_by_cell
from keras_urnn.equivalence.ranges.intervals import Array, Interval, to_float64
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


@dataclass(frozen=True, eq=False)
class Entered:
    """The inputs and initial states of a recurrent layer at one of its calls.

    Attributes:
        layer: the layer.
        x: array of shape `(batch, time, features)`.
        starts: for each of its cells the list of states given to it, if any.
    """

    layer: Any
    x: Array
    starts: list[list[Array]]

    def starts_inside(self, ranges: Sequence[Interval]) -> bool:
        """Whether the states given to its cells are in the ranges."""
        given = [np.concatenate(states, axis=-1) for states in self.starts]
        return all(
            bool(np.all(known.lower[: h.shape[-1]] <= h))
            and bool(np.all(h <= known.upper[: h.shape[-1]]))
            for h, known in zip(given, ranges, strict=False)
        )


def entered(model: Any, survey: Survey, batches: Sequence[Batch]) -> list[Entered]:
    """What enters each layer to be converted at each call, inside nested models too.

    It is recorded in one copy of the whole model, but not inside `TimeDistributed`.
    """
    copies = Rebuilding(None)
    calls: list[tuple[Any, Any, list[list[Any]]]] = []

    def run(call: Call, args: Any, kwargs: Any) -> list[Any]:
        layer = call.operation
        if isinstance(layer, keras.Model):
            entering = entering_model(layer, args, kwargs)
            return graph_of(layer).replay(entering, run)
        if id(layer) in survey.uses:
            x, given = arguments_of(layer, args, kwargs)
            starts = [] if given is None else states_by_cell(layer, given)
            calls.append((layer, x, starts))
        copy = copies.counterpart(layer)
        copy.name = f"{layer.name}_{id(layer)}"  # one model's names are its own
        return keras.tree.flatten(copy(*args, **kwargs))

    graph = graph_of(model)
    inputs = [
        keras.Input(batch_shape=x.shape, dtype=x.dtype, name=x.name)
        for x in graph.inputs
    ]
    graph.replay(inputs, run)
    if not calls:
        return []
    copies.finish()
    tensors = [(x, given) for _, x, given in calls]
    flat = keras.tree.flatten(tensors)
    runner = Runner(keras.Model(inputs, flat))
    seen = runner.outputs(batches, survey.horizon)
    packed = keras.tree.pack_sequence_as(tensors, seen)
    return [
        Entered(layer, x, given)
        for (layer, *_), (x, given) in zip(calls, packed, strict=True)
    ]
