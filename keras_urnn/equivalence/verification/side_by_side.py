"""Run two whole layers or models side by side, and compare their outputs."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import keras
import numpy as np

from keras_urnn.equivalence.models.inputs import Entrances
from keras_urnn.equivalence.plans.copies import copy_learned, copy_of
from keras_urnn.equivalence.progress_bar import advance
from keras_urnn.equivalence.ranges.cells import cells_of
from keras_urnn.equivalence.ranges.intervals import Array
from keras_urnn.equivalence.verification.comparison import (
    Observation,
    compare,
    compare_nudged,
)
from keras_urnn.equivalence.verification.evidence import Evidence, Trial
from keras_urnn.equivalence.verification.gradient_search import most_different
from keras_urnn.equivalence.verification.measured_rounding import (
    MovedModel,
    rounding_dtypes,
)
from keras_urnn.equivalence.verification.model_runs import (
    Batch,
    Runner,
    is_stateful,
    packed,
    trial_batches,
)
from keras_urnn.equivalence.verification.trial_inputs import SEARCHED_STEPS


def as_model(target: Any, batch_size: int) -> Any:
    """A model of a copy of a recurrent cell or layer, for sequences of any length.

    Only a stateful layer is made for batches of that size.
    """
    cell = cells_of(target)[0]
    dtype = "float64" if target.compute_dtype == "float64" else "float32"
    recurrent = isinstance(target, keras.layers.RNN | keras.layers.Bidirectional)
    size = batch_size if recurrent and target.stateful else None
    x = keras.Input(batch_shape=(size, None, cell.kernel.shape[0]), dtype=dtype)
    copy = copy_of(target)
    layer = copy if recurrent else keras.layers.RNN(copy, return_sequences=True)
    layer.build(x.shape)
    model = keras.Model(x, layer(x))
    copy_learned(target, copy)
    return model


class ModelPair:
    """Two models that are run on the same inputs.

    Args:
        name: string. What they are called in the evidence.
        models: the two; they take the same inputs.
        horizon: integer or `None`.
        tolerance: as for `compare_models`.
    """

    def __init__(
        self,
        name: str,
        models: tuple[Any, Any],
        horizon: int | None,
        tolerance: float | None,
    ) -> None:
        self._name, self._horizon, self._tolerance = name, horizon, tolerance
        self._first, self._second = (Runner(model) for model in models)
        self._dtypes = [dtype for model in models for dtype in rounding_dtypes(model)]
        self._moved = MovedModel(models[0], self._first, self._dtypes)

    def run(self, batches: Sequence[Batch]) -> Evidence:
        """Run both on these batches, and compare their outputs."""
        expected = self._first.outputs(batches, self._horizon)
        others = self._second.outputs(batches, self._horizon)
        if [y.shape for y in expected] != [y.shape for y in others]:
            return Evidence(differences=[f"{self._name}: its outputs are others"])
        outputs = list(zip(expected, others, strict=True))
        seen = self._compared(outputs, batches)
        if any(one.differences for one in seen):
            again = self._first.outputs(batches, self._horizon)
            if not all(map(_repeats, expected, again, seen)):
                return Evidence(gaps=[f"{self._name}: its outputs are random"])
        return Evidence(observations=seen)

    def _compared(
        self, outputs: list[tuple[Array, Array]], batches: Sequence[Batch]
    ) -> list[Observation]:
        """Compare within the tolerance, or else with what rounding does as measured."""
        if self._tolerance is not None:
            seen = [compare(self._name, *both, self._tolerance) for both in outputs]
            if not any(one.differences for one in seen):
                return seen
        moved = self._moved.outputs(batches, self._horizon)
        seen = [
            compare_nudged(self._name, *both, y, self._dtypes)
            for both, y in zip(outputs, moved, strict=True)
        ]
        least = self._tolerance or 0.0
        return [replace(one, tolerance=max(one.tolerance, least)) for one in seen]


def compare_models(
    name: str,
    models: tuple[Any, Any],
    entrances: Entrances,
    trial: Trial,
    tolerance: float | None = None,
) -> Evidence:
    """Run two models on random inputs and, without a proof, where they differ most.

    Args:
        name: string. What they are called in the evidence.
        models: the two.
        entrances: `Entrances` of the first.
        trial: `Trial`.
        tolerance: float. How far rounding may move the outputs of the recurrent layers,
            relative to the largest; `None` where no proof gives it. Outputs that differ
            by more are compared once more, with the effect of rounding measured on the
            whole model: layers behind may magnify it, as a softmax of large numbers
            does. Defaults to `None`.
    """
    misfit = _different_inputs(name, models)
    if misfit is not None:
        return misfit
    pair = ModelPair(name, models, trial.horizon, tolerance)
    found = pair.run(trial_batches(models[0], entrances, trial.sampling))
    advance()
    comparable = not (found.differences or found.gaps)
    undecided = tolerance is None and trial.search
    if comparable and undecided and _is_searchable(models, entrances):
        found.add(pair.run([_searched(models, entrances, trial)]))
    advance()
    return found


def _different_inputs(name: str, models: tuple[Any, Any]) -> Evidence | None:
    """What shows that two models take different inputs; `None` where they don't."""
    shapes = [[_signature(x) for x in model.inputs] for model in models]
    if shapes[0] == shapes[1]:
        return None
    words = [f"{name}: its inputs are others"]
    # Some inputs may fit both: where lengths are open, or only dtypes differ.
    return Evidence(gaps=words) if _fit(*shapes) else Evidence(differences=words)


def _signature(x: Any) -> tuple[Any, ...]:
    return (*x.shape[1:], x.dtype)


def _fit(ones: list[tuple[Any, ...]], others: list[tuple[Any, ...]]) -> bool:
    """Whether some inputs fit both lists of signatures, dtypes aside."""
    sizes = [[x[:-1] for x in listed] for listed in (ones, others)]
    if [len(x) for x in sizes[0]] != [len(x) for x in sizes[1]]:
        return False
    pairs = zip(sum(sizes[0], ()), sum(sizes[1], ()), strict=True)
    return all(a is None or b is None or a == b for a, b in pairs)


def _repeats(y: Array, again: Array, seen: Observation) -> bool:
    """Whether two runs of one model gave the same numbers, but for rounding."""
    least = seen.tolerance * float(np.nanmax(np.abs(y), initial=0.0))
    return np.allclose(y, again, rtol=0.0, atol=least, equal_nan=True)


def _is_searchable(models: Sequence[Any], entrances: Entrances) -> bool:
    """Whether outputs have gradients by all inputs, and depend on nothing else."""
    if entrances.tables or any(is_stateful(model) for model in models):
        return False
    return all("float" in str(x.dtype) for x in models[0].inputs)


def _searched(models: Sequence[Any], entrances: Entrances, trial: Trial) -> Batch:
    steps = min(trial.sampling.steps, SEARCHED_STEPS)
    short = replace(trial.sampling, steps=steps)
    drawn = trial_batches(models[0], entrances, short)[0]
    ranges = [entrances.inputs[x.name] for x in models[0].inputs]
    first, second = (_outputs(model) for model in models)
    return most_different(first, second, drawn, ranges)


def _outputs(model: Any) -> Callable[[list[Any]], list[Any]]:
    def run(tensors: list[Any]) -> list[Any]:
        return keras.tree.flatten(model(packed(model, tensors), training=False))

    return run
