"""`verify_equivalence`: check a conversion against its proof, and by running it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_urnn import _checks
from keras_urnn.equivalence.bounds import InputBound, InputBounds
from keras_urnn.equivalence.intervals import Interval, arithmetic_dtype
from keras_urnn.equivalence.models import Rebuilding, rebuild
from keras_urnn.equivalence.pairs import CellPair, objections
from keras_urnn.equivalence.recurrent import (
    cells_of,
    entering_cells,
    entering_layer,
)
from keras_urnn.equivalence.refusals import (
    check_convertible,
    checked_horizon,
    refusal,
)
from keras_urnn.equivalence.runs import (
    OUTPUT_TOLERANCE,
    Observation,
    Sampling,
    compare,
    observe,
    rounding_tolerance,
    trial_inputs,
)
from keras_urnn.equivalence.wiring import copy_objections, flag_objections
from keras_urnn.layers.unitary_rnn import UnitaryRNNCell


@dataclass(frozen=True)
class EquivalenceReport:
    """What `verify_equivalence` found; it prints as a short table.

    Attributes:
        max_absolute_difference: float. The largest `|y - y'|` over all runs.
        max_relative_difference: float. The largest `max|y - y'| / max|y|` of a run.
        unitarity_error: float. The largest `max|UᵀU - I|` of a recurrent matrix.
        states_before: integer. Recurrent states of the original.
        states_after: integer. Recurrent states of the converted one.
        largest_added_state: float. The largest value of an added state; exactly 0 in
            an equivalent conversion.
        smallest_distance: float. The smallest distance of an added state from
            switching on, over all runs: minus its largest pre-activation.
        reasons: tuple of strings. Why the two are not equivalent; empty if they are.
            Defaults to `()`.
    """

    max_absolute_difference: float
    max_relative_difference: float
    unitarity_error: float
    states_before: int
    states_after: int
    largest_added_state: float
    smallest_distance: float
    reasons: tuple[str, ...] = ()

    @property
    def equivalent(self) -> bool:
        """Whether nothing speaks against the equivalence."""
        return not self.reasons

    def __str__(self) -> str:
        rows = [
            ("equivalent", "yes" if self.equivalent else "NO"),
            ("largest absolute difference", f"{self.max_absolute_difference:.3g}"),
            ("largest relative difference", f"{self.max_relative_difference:.3g}"),
            ("unitarity error", f"{self.unitarity_error:.3g}"),
            ("states before, after", f"{self.states_before}, {self.states_after}"),
            ("largest added state", f"{self.largest_added_state:.3g}"),
            ("smallest distance from on", f"{self.smallest_distance:.3g}"),
        ]
        lines = [f"{name:<28} {value}" for name, value in rows]
        return "\n".join(lines + [f"- {reason}" for reason in self.reasons])


def verify_equivalence(
    original: Any,
    converted: Any,
    *,
    input_bound: InputBound,
    horizon: int | None = None,
    steps: int = 1000,
    batch_size: int = 8,
    seed: int = 0,
) -> EquivalenceReport:
    """Check that `converted` is the unitary equivalent of `original`.

    Every recurrent cell is checked against the proof of theorem 1: the original's
    recurrent matrix is the corner of the converted one, bit for bit; kernel, bias and
    initial state are the original's; the added states get no input, start at 0, and
    have biases below the bound on what the reachable states send them; the matrix is
    orthogonal. Nothing is taken from the conversion but its weights. The flags of each
    recurrent layer (`return_sequences`, `go_backwards`, `merge_mode`, ...) and the
    weights of all other layers of a model must be the original's.

    Then each pair of cells runs side by side, all states in view, over random inputs,
    constant corners of the range of its inputs, and the inputs that drive an added
    state hardest: the added states must be exactly 0 at each step and the outputs
    agree. (A copy of what is unitary already needs no range: where none is known it
    runs on inputs of at most 1.) Models are also run as a whole, on random inputs and
    constant corners (tokens for an `Embedding`), and what then enters each recurrent
    layer must stay in the range that the proof is for.

    Args:
        original: cell, layer or model that was converted.
        converted: what `to_unitary` returned for it.
        input_bound: as for `to_unitary`.
        horizon: integer or `None`. As for `to_unitary`. Defaults to `None`.
        steps: positive integer. The length of the runs; at most `horizon`, and the
            length that a model is made for. Defaults to `1000`.
        batch_size: positive integer. The number of random sequences, and the number
            of added states, those that see most of the others, that are driven.
            Defaults to `8`.
        seed: integer. Seeds the random inputs. Defaults to `0`.

    Returns:
        An `EquivalenceReport`.

    Raises:
        ValueError: when `original` can't be converted (see `to_unitary`), or is a
            stateful model, whose state the runs would change.

    Example:
        ```python
        layer = keras_urnn.ContractiveRNN(4)
        y = layer(keras.random.normal((2, 10, 3)))  # shape (2, 4)
        unitary = keras_urnn.to_unitary(layer, input_bound=1.0)
        report = keras_urnn.verify_equivalence(layer, unitary, input_bound=1.0)
        print(report)
        ```

    Reference:
        - [Emami et al., 2019](https://arxiv.org/abs/1910.13672), Theorem 1
    """
    bounds, horizon = InputBounds(input_bound), checked_horizon(horizon)
    for name, value in (("steps", steps), ("batch_size", batch_size)):
        _checks.positive_integer(name, value, "It is the size of the runs.")
    generator = np.random.default_rng(seed)
    sampling = Sampling(min(steps, horizon or steps), batch_size, generator)
    if isinstance(original, keras.Model):
        pairs, seen = _of_models(original, converted, bounds, horizon, sampling)
        reasons = _around_cells(original, converted, [pair.name for pair in pairs])
    else:
        pairs, seen = _of_layers(original, converted, bounds, horizon), []
        reasons = flag_objections(original, converted)
    reasons += [reason for pair in pairs for reason in objections(pair, horizon)]
    comparable = [pair for pair in pairs if pair.is_comparable]
    seen += [observe(pair, trial_inputs(pair, sampling)) for pair in comparable]
    reasons += [reason for observation in seen for reason in observation.objections]
    return EquivalenceReport(
        max_absolute_difference=_largest(run.absolute for run in seen),
        max_relative_difference=_largest(run.relative for run in seen),
        unitarity_error=_largest(pair.unitarity_error for pair in pairs),
        states_before=sum(pair.states for pair in pairs),
        states_after=sum(int(pair.new.units) for pair in pairs),
        largest_added_state=_largest(run.largest_added for run in seen),
        smallest_distance=-_largest(-run.distance for run in seen),
        reasons=tuple(reasons),
    )


def _largest(values: Iterable[float]) -> float:
    """The largest, NaN if there is one; infinite where nothing could be run."""
    found = list(values)
    return float(np.max(found)) if found else float("inf")


def _of_layers(
    original: Any, converted: Any, bounds: InputBounds, horizon: int | None
) -> list[CellPair]:
    entering = entering_layer(original, bounds)
    return _cell_pairs(original, converted, entering, horizon)


def _cell_pairs(
    original: Any, converted: Any, entering: Interval | None, horizon: int | None
) -> list[CellPair]:
    old, new = cells_of(original), cells_of(converted)
    if len(old) != len(new):
        found = f"{len(new)} cells against {len(old)}"
        advice = "Pass what `to_unitary` returned for it as `converted`."
        raise refusal("the original of `converted`", original.name, found, advice)
    for cell in old:
        if type(cell) is not UnitaryRNNCell:
            check_convertible(cell, original.name, horizon)
    ranges = entering_cells(original, entering, horizon)
    return [
        CellPair(original.name, *cells) for cells in zip(old, new, ranges, strict=True)
    ]


def _of_models(
    original: Any,
    converted: Any,
    bounds: InputBounds,
    horizon: int | None,
    sampling: Sampling,
) -> tuple[list[CellPair], list[Observation]]:
    """The pairs of cells of two models, and runs of the models as a whole."""
    kinds = keras.layers.RNN | keras.layers.Bidirectional
    if any(isinstance(layer, kinds) and layer.stateful for layer in original.layers):
        advice = "Verify its recurrent layers one by one, on layers of their own."
        raise refusal("without state", original.name, "a stateful layer", advice)
    # Converted afresh for the ranges only: nothing of it is taken as proof.
    _, rebuilding = rebuild(original, bounds, horizon)
    inputs = _model_inputs(original, rebuilding, sampling)
    pairs: list[CellPair] = []
    seen: list[Observation] = []
    for name, entering in rebuilding.entering.items():
        old, new = original.get_layer(name), converted.get_layer(name)
        found = _cell_pairs(old, new, entering, horizon)
        pairs += found
        if found[0].is_comparable:
            seen.append(observe(found[0], _entering_seen(converted, new, inputs)))
    tolerance = _model_tolerance(original, pairs, sampling.steps)
    outputs = zip(_outputs(original, inputs), _outputs(converted, inputs), strict=True)
    return pairs, seen + [compare(original.name, *two, tolerance) for two in outputs]


def _around_cells(original: Any, converted: Any, names: Iterable[str]) -> list[str]:
    reasons = copy_objections(original, converted)
    for name in dict.fromkeys(names):
        old, new = original.get_layer(name), converted.get_layer(name)
        reasons += flag_objections(old, new)
    return reasons


def _entering_seen(model: Any, layer: Any, inputs: list[Any]) -> Any:
    """What enters a layer of the model for these inputs of the model."""
    features, *_ = keras.tree.flatten(layer.input)  # a mask may come with them
    before = keras.Model(model.inputs, features)
    return np.asarray(before.predict_on_batch(inputs), dtype=np.float64)


def _model_tolerance(model: Any, pairs: list[CellPair], steps: int) -> float:
    """Ten times that of its recurrent layers: those behind may magnify rounding.

    What a run of the whole model has to show, a layer wired to another, is of order
    1, so that it is never more than 1/2.
    """
    recurrences = [pair.recurrences[0] for pair in pairs]
    # Those that compute with integers, as a lookup, round nothing.
    dtypes = {arithmetic_dtype(layer) for layer in model.layers} & set(OUTPUT_TOLERANCE)
    largest = max(
        rounding_tolerance(dtype, recurrence.norm, steps)
        for recurrence in recurrences
        for dtype in dtypes
    )
    return min(0.5, 10.0 * largest)


def _model_inputs(model: Any, rebuilding: Rebuilding, sampling: Sampling) -> list[Any]:
    return [_model_input(tensor, rebuilding, sampling) for tensor in model.inputs]


def _model_input(tensor: Any, rebuilding: Rebuilding, sampling: Sampling) -> Any:
    # An axis of unknown length is time.
    shape = tuple(size or sampling.steps for size in tensor.shape[1:])
    if tensor.name in rebuilding.tables:
        rows = rebuilding.tables[tensor.name]
        tokens = sampling.generator.integers(
            rows, size=(2 * sampling.batch_size, *shape)
        )
        return tokens.astype(tensor.dtype)
    entering = rebuilding.bounds.of_input(tensor.name)
    return sampling.inputs(entering, shape).astype(tensor.dtype)


def _outputs(model: Any, inputs: list[Any]) -> list[Any]:
    if isinstance(model, keras.Sequential):
        arguments = inputs[0]
    else:
        arguments = keras.tree.pack_sequence_as(model.input, inputs)
    outputs = keras.tree.flatten(model.predict_on_batch(arguments))
    return [np.asarray(y, dtype=np.float64) for y in outputs]
