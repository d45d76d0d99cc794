"""How far rounding moves the outputs of a model, measured on a copy of it.

No theorem bounds what rounding does to the outputs of a whole model: a softmax of large
numbers may magnify it. So a copy runs whose weights are moved by about as much as
storing them may move them, and its outputs show the effect.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import keras
import numpy as np

from keras_urnn.equivalence.models.graph import leaves
from keras_urnn.equivalence.models.rebuilding import Rebuilding
from keras_urnn.equivalence.ranges.intervals import (
    MACHINE_EPSILON,
    Array,
    arithmetic_dtype,
)
from keras_urnn.equivalence.refusals.targets import NotCoveredError
from keras_urnn.equivalence.verification.comparison import OUTPUT_TOLERANCE, nudge
from keras_urnn.equivalence.verification.model_runs import Batch, Runner


class MovedModel:
    """A model whose weights are moved by about their rounding, or else its inputs.

    The copy is made when it is first run: most pairs of models never need it.

    Args:
        model: built model.
        runner: `Runner` of the model itself, for one that can't be copied.
        dtypes: strings. The dtypes that are rounded to.
    """

    def __init__(self, model: Any, runner: Runner, dtypes: Sequence[str]) -> None:
        self._model, self._runner, self._dtypes = model, runner, dtypes

    @cached_property
    def _copy(self) -> Runner:
        return Runner(_moved(self._model))

    def outputs(self, batches: Sequence[Batch], horizon: int | None) -> list[Array]:
        """The outputs for these batches, as `Runner.outputs` gives them."""
        try:
            return self._copy.outputs(batches, horizon)
        except NotCoveredError:
            nearby = [[self._moved_input(x) for x in batch] for batch in batches]
            return self._runner.outputs(nearby, horizon)

    def _moved_input(self, x: Array) -> Array:
        return nudge(x, *self._dtypes).astype(x.dtype) if x.dtype.kind == "f" else x


def _moved(model: Any) -> Any:
    """A copy of a model, each weight moved by about as much as storing it may."""
    rebuilding, generator = Rebuilding(None), np.random.default_rng(0)
    copy = rebuilding.counterpart(model)
    rebuilding.finish()
    for weight in copy.weights:
        if weight.dtype in MACHINE_EPSILON:
            array = np.array(keras.ops.convert_to_numpy(weight), dtype="float64")
            signs = generator.choice([-1.0, 1.0], array.shape)
            weight.assign(array * (1.0 + MACHINE_EPSILON[weight.dtype] * signs))
    return copy


def rounding_dtypes(model: Any) -> list[str]:
    """The dtypes that the layers of a model round to."""
    found = {arithmetic_dtype(layer) for _, layer in leaves(model)}
    # Those that compute with integers, as a lookup, round nothing.
    return sorted(found & set(OUTPUT_TOLERANCE)) or ["float32"]
