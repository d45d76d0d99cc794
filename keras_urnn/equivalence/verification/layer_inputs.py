"""Record what enters each recurrent layer while a whole model runs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_urnn.equivalence.models.graph import (
    Call,
    arguments_of,
    entering_model,
    graph_of,
)
from keras_urnn.equivalence.models.propagation import Survey
from keras_urnn.equivalence.models.rebuilding import Rebuilding
from keras_urnn.equivalence.ranges.initial_states import states_by_cell
from keras_urnn.equivalence.ranges.intervals import Array, Interval
from keras_urnn.equivalence.verification.model_runs import Batch, Runner


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
    graph, recorder = graph_of(model), _Recorder(survey)
    inputs = [
        keras.Input(batch_shape=x.shape, dtype=x.dtype, name=x.name)
        for x in graph.inputs
    ]
    graph.replay(inputs, recorder.run)
    if not recorder.layers:
        return []
    recorder.copies.finish()
    flat = keras.tree.flatten(recorder.tensors)
    seen = Runner(keras.Model(inputs, flat)).outputs(batches, survey.horizon)
    recorded = keras.tree.pack_sequence_as(recorder.tensors, seen)
    return [
        Entered(layer, x, given)
        for layer, (x, given) in zip(recorder.layers, recorded, strict=True)
    ]


class _Recorder:
    """Calls copies of the layers of a model, and keeps what enters recurrent ones.

    Args:
        survey: `Survey` of the model. Its layers to be converted are recorded.
    """

    def __init__(self, survey: Survey) -> None:
        self._survey = survey
        self.copies = Rebuilding(None)
        self.layers: list[Any] = []
        self.tensors: list[tuple[Any, list[list[Any]]]] = []

    def run(self, call: Call, args: Any, kwargs: Any) -> list[Any]:
        """The outputs of a call of the model, from the copies of its layers."""
        layer = call.operation
        if isinstance(layer, keras.Model):
            entering = entering_model(layer, args, kwargs)
            return graph_of(layer).replay(entering, self.run)
        if id(layer) in self._survey.uses:
            x, given = arguments_of(layer, args, kwargs)
            starts = [] if given is None else states_by_cell(layer, given)
            self.layers.append(layer)
            self.tensors.append((x, starts))
        copy = self.copies.counterpart(layer)
        copy.name = f"{layer.name}_{id(layer)}"  # a model needs distinct names
        return keras.tree.flatten(copy(*args, **kwargs))
