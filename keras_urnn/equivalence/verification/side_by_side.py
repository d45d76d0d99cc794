"""Whole layers and models side by side: what they put out, whatever is inside."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import keras
import numpy as np

from keras_urnn.equivalence.models.graph import leaves
from keras_urnn.equivalence.models.inputs import Entrances
from keras_urnn.equivalence.models.rebuilding import Rebuilding
from keras_urnn.equivalence.plans.copies import copy_learned, copy_of
from keras_urnn.equivalence.progress import advance
from keras_urnn.equivalence.ranges.intervals import (
    MACHINE_EPSILON,
    Array,
    arithmetic_dtype,
)
from keras_urnn.equivalence.ranges.recurrent import cells_of
from keras_urnn.equivalence.refusals import NotCoveredError
from keras_urnn.equivalence.verification.comparison import (
    OUTPUT_TOLERANCE,
    Observation,
    compare,
    compare_nudged,
    nudge,
)
from keras_urnn.equivalence.verification.findings import Findings, Trial
from keras_urnn.equivalence.verification.gradient_search import most_different
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


def compare_models(
    name: str,
    models: tuple[Any, Any],
    entrances: Entrances,
    trial: Trial,
    tolerance: float | None = None,
) -> Findings:
    """Run two models on random inputs and, without a proof, where they differ most.

    Args:
        name: string. What they are called in the findings.
        models: the two.
        entrances: `Entrances` of the first.
        trial: `Trial`.
        tolerance: float. What rounding may do to the outputs of the recurrent layers,
            relative to the largest; `None` where no proof gives it. What differs by
            more is compared once more with what rounding does by measurement: layers
            behind may magnify it, as a softmax of large numbers does. Defaults to
            `None`.
    """
    shapes = [[_signature(x) for x in model.inputs] for model in models]
    if shapes[0] != shapes[1]:
        words = [f"{name}: its inputs are others"]
        # Where lengths are left open, or dtypes differ, some inputs fit both.
        fits = _fit(*shapes)
        return Findings(gaps=words) if fits else Findings(differences=words)
    first, second = (Runner(model) for model in models)
    nudged = cache(lambda: Runner(_nudged(models[0])))
    dtypes = [dtype for model in models for dtype in _dtypes(model)]
    found = Findings()

    def measured(
        outputs: list[tuple[Array, Array]], batches: Sequence[Batch]
    ) -> list[Observation]:
        """Compare with what rounding does to a copy of the first."""
        try:
            moved = nudged().outputs(batches, trial.horizon)
        except NotCoveredError:
            # Where it can't be copied its inputs are moved instead of its weights.
            nearby = [[_nudged_input(x, dtypes) for x in batch] for batch in batches]
            moved = first.outputs(nearby, trial.horizon)
        seen = [
            compare_nudged(name, *both, y, dtypes)
            for both, y in zip(outputs, moved, strict=True)
        ]
        least = tolerance or 0.0
        return [replace(one, tolerance=max(one.tolerance, least)) for one in seen]

    def run(batches: Sequence[Batch]) -> bool:
        """Compare, and say whether the outputs could be."""
        expected = first.outputs(batches, trial.horizon)
        others = second.outputs(batches, trial.horizon)
        if [y.shape for y in expected] != [y.shape for y in others]:
            found.differences.append(f"{name}: its outputs are others")
            return False
        outputs = list(zip(expected, others, strict=True))
        known = 0.0 if tolerance is None else tolerance
        seen = [compare(name, *both, known) for both in outputs]
        if tolerance is None or any(one.differences for one in seen):
            seen = measured(outputs, batches)
        if any(one.differences for one in seen):
            again = first.outputs(batches, trial.horizon)
            if not all(map(_repeats, expected, again, seen)):
                found.gaps.append(f"{name}: its outputs are random")
                return False
        found.observations += seen
        return True

    comparable = run(trial_batches(models[0], entrances, trial.sampling))
    advance()
    undecided = tolerance is None and trial.search
    if comparable and undecided and _is_searchable(models, entrances):
        run([_searched(models, entrances, trial)])
    advance()
    return found


def _signature(x: Any) -> tuple[Any, ...]:
    return (*x.shape[1:], x.dtype)


def _nudged_input(x: Array, dtypes: Sequence[str]) -> Array:
    return nudge(x, *dtypes).astype(x.dtype) if x.dtype.kind == "f" else x


def _fit(ones: list[tuple[Any, ...]], others: list[tuple[Any, ...]]) -> bool:
    """Whether some inputs are of both signatures, but for their dtypes."""
    sizes = [[x[:-1] for x in listed] for listed in (ones, others)]
    if [len(x) for x in sizes[0]] != [len(x) for x in sizes[1]]:
        return False
    pairs = zip(sum(sizes[0], ()), sum(sizes[1], ()), strict=True)
    return all(a is None or b is None or a == b for a, b in pairs)


def _repeats(y: Array, again: Array, seen: Observation) -> bool:
    """Whether two runs of one model gave the same numbers, but for rounding."""
    least = seen.tolerance * float(np.nanmax(np.abs(y), initial=0.0))
    return np.allclose(y, again, rtol=0.0, atol=least, equal_nan=True)


def _dtypes(model: Any) -> list[str]:
    """The dtypes that a model rounds to."""
    found = {arithmetic_dtype(layer) for _, layer in leaves(model)}
    # Those that compute with integers, as a lookup, round nothing.
    return sorted(found & set(OUTPUT_TOLERANCE)) or ["float32"]


def _nudged(model: Any) -> Any:
    """A copy of a model, each weight moved by about what storing it may do."""
    rebuilding, generator = Rebuilding(None), np.random.default_rng(0)
    copy = rebuilding.counterpart(model)
    rebuilding.finish()
    for weight in copy.weights:
        if weight.dtype in MACHINE_EPSILON:
            array = np.array(keras.ops.convert_to_numpy(weight), dtype="float64")
            signs = generator.choice([-1.0, 1.0], array.shape)
            weight.assign(array * (1.0 + MACHINE_EPSILON[weight.dtype] * signs))
    return copy


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
