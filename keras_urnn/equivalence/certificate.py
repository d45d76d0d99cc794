"""`verify_equivalence`: check a conversion against its proof, and by running it."""

import json
import math
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_urnn import _checks
from keras_urnn.equivalence.bounds import InputBound, InputBounds
from keras_urnn.equivalence.graph import check_model, leaves
from keras_urnn.equivalence.hindrances import is_converted
from keras_urnn.equivalence.intervals import arithmetic_dtype
from keras_urnn.equivalence.model_runs import entered, outputs_of, trial_batches
from keras_urnn.equivalence.pairs import CellPair, objections
from keras_urnn.equivalence.recurrent import (
    entering_cells,
    entering_layer,
)
from keras_urnn.equivalence.recurrent_ranges import cells_of
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
    searched_inputs,
    trial_inputs,
)
from keras_urnn.equivalence.starts import resting_starts
from keras_urnn.equivalence.survey import Survey, Use
from keras_urnn.equivalence.wiring import (
    flag_objections,
    layer_objections,
    paired_layers,
)
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
        largest_added_state: float. The largest distance of an added state from its
            rest; exactly 0 in an equivalent conversion.
        smallest_distance: float. The smallest distance of an added state from
            switching on, over all runs: how far its pre-activation stays from the
            end of the half-line.
        largest_added_bias: float. The largest `|b|` of an added state; 0 if there is
            none.
        horizon: integer or `None`. The number of steps since the last reset for which
            alone the proof holds; `None` for any number.
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
    largest_added_bias: float
    horizon: int | None
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
            ("largest added bias", f"{self.largest_added_bias:.3g}"),
        ]
        if self.horizon is not None:
            rows.append(("steps since a reset", f"{self.horizon} at most"))
        lines = [f"{name:<28} {value}" for name, value in rows]
        return "\n".join(lines + [f"- {reason}" for reason in self.reasons])

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the report as JSON; numbers that aren't finite are written as null.

        Args:
            path: string or path of the file. It is replaced as a whole.
        """
        found = {"equivalent": self.equivalent, **asdict(self)}
        for name, value in found.items():
            if isinstance(value, float) and not math.isfinite(value):
                found[name] = None
        part = Path(f"{os.fspath(path)}.part")
        part.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        part.replace(path)


def verify_equivalence(
    original: Any,
    converted: Any,
    *,
    input_bound: InputBound,
    horizon: int | None = None,
    steps: int = 1000,
    batch_size: int = 8,
    seed: int = 0,
    search: bool = False,
) -> EquivalenceReport:
    """Check that `converted` is the unitary equivalent of `original`.

    Every recurrent cell is checked against the proof of theorem 1: the original's
    recurrent matrix is the corner of the converted one, bit for bit; kernel, bias and
    initial state are the original's; the added states get no input, start at rest, and
    have biases below the bound on what the reachable states send them; the matrix is
    orthogonal. Nothing is taken from the conversion but its weights. The flags of each
    recurrent layer (`return_sequences`, `go_backwards`, `merge_mode`, ...) and the
    weights of all other layers of a model must be the original's.

    Then each pair of cells runs side by side, all states in view, over random inputs,
    constant corners of the range of its inputs, and the inputs that drive an added
    state hardest: the added states must stay exactly at rest and the outputs
    agree. (A copy of what is unitary already needs no range: where none is known it
    runs on inputs of at most 1.) Models are also run as a whole, on random inputs and
    constant corners (tokens for an `Embedding`), and what then enters each recurrent
    layer, inputs and initial states, must stay in the range that the proof is for
    (inside `TimeDistributed` it is not looked at). Layers are compared by their names,
    one by one in nested models, too. A stateful model starts at rest, goes on from
    batch to batch, and is put back into the state that it was in.

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
        search: boolean. Whether to climb, by the gradient, from random inputs to some
            on which each pair of cells differs most, and compare there too: it takes
            seconds a cell. Defaults to `False`.

    Returns:
        An `EquivalenceReport`.

    Raises:
        ValueError: when `original` can't be converted (see `to_unitary`), or
            `converted` is of another kind.

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
        check_model(converted)
        models = (original, converted)
        pairs, seen, reasons = _of_models(*models, bounds, horizon, sampling)
    else:
        pairs, seen = _of_layers(original, converted, bounds, horizon), []
        reasons = flag_objections(original, converted)
    reasons += [reason for pair in pairs for reason in objections(pair, horizon)]
    comparable = [pair for pair in pairs if pair.is_comparable]
    seen += [observe(pair, trial_inputs(pair, sampling)) for pair in comparable]
    if search:
        seen += [observe(pair, searched_inputs(pair, sampling)) for pair in comparable]
    reasons += [reason for observation in seen for reason in observation.objections]
    return EquivalenceReport(
        max_absolute_difference=_largest(run.absolute for run in seen),
        max_relative_difference=_largest(run.relative for run in seen),
        unitarity_error=_largest(pair.unitarity_error for pair in pairs),
        states_before=sum(pair.states for pair in pairs),
        states_after=sum(int(pair.new.units) for pair in pairs),
        largest_added_state=_largest(run.largest_added for run in seen),
        smallest_distance=-_largest(-run.distance for run in seen),
        largest_added_bias=_largest(pair.largest_added_bias for pair in pairs),
        horizon=horizon,
        reasons=tuple(reasons),
    )


def _largest(values: Iterable[float]) -> float:
    """The largest, NaN if there is one; infinite where nothing could be run."""
    found = list(values)
    return float(np.max(found)) if found else float("inf")


def _of_layers(
    original: Any, converted: Any, bounds: InputBounds, horizon: int | None
) -> list[CellPair]:
    use = Use(original, entering_layer(original, bounds), resting_starts(original))
    return _cell_pairs(original.name, use, converted, horizon)


def _cell_pairs(
    name: str, use: Use, converted: Any, horizon: int | None
) -> list[CellPair]:
    old, new = cells_of(use.layer), cells_of(converted)
    if len(old) != len(new):
        found = f"{len(new)} cells against {len(old)}"
        advice = "Pass what `to_unitary` returned for it as `converted`."
        raise refusal("the original of `converted`", name, found, advice)
    for cell in old:
        if type(cell) is not UnitaryRNNCell:
            check_convertible(cell, name, horizon)
    ranges = entering_cells(use.layer, use.entering, horizon, use.starts)
    return [
        CellPair(name, *cells)
        for cells in zip(old, new, ranges, use.starts, strict=True)
    ]


def _of_models(
    original: Any,
    converted: Any,
    bounds: InputBounds,
    horizon: int | None,
    sampling: Sampling,
) -> tuple[list[CellPair], list[Observation], list[str]]:
    """The pairs of cells of two models, runs of the models, and other objections."""
    survey = Survey(original, bounds, horizon)
    pairs: list[CellPair] = []
    reasons: list[str] = []
    for path, (old, new) in paired_layers(original, converted).items():
        reasons += layer_objections(path, old, new, converted.name)
        if is_converted(old) and new is not None:
            pairs += _cell_pairs(path, survey.uses[id(old)], new, horizon)
    batches = trial_batches(original, survey, sampling)
    tolerance = _model_tolerance(original, pairs, sampling.steps)
    expected, found = (
        outputs_of(model, batches, horizon) for model in (original, converted)
    )
    if [y.shape for y in expected] != [y.shape for y in found]:
        return pairs, [], [*reasons, f"{original.name}: its outputs are others"]
    seen = [
        compare(original.name, *both, tolerance)
        for both in zip(expected, found, strict=True)
    ]
    first = {id(pair.old): pair for pair in pairs if pair.is_comparable}
    for one in entered(original, survey, batches):
        use, pair = survey.uses[id(one.layer)], first.get(id(cells_of(one.layer)[0]))
        if pair is None:
            continue
        seen.append(observe(pair, one.x))
        if not one.starts_inside(use.starts):
            reasons.append(f"{pair.name}: what it starts from leaves the range for it")
    return pairs, seen, reasons


def _model_tolerance(model: Any, pairs: list[CellPair], steps: int) -> float:
    """Ten times that of its recurrent layers: those behind may magnify rounding.

    What a run of the whole model has to show, a layer wired to another, is of order
    1, so that it is never more than 1/2.
    """
    recurrences = [pair.recurrences[0] for pair in pairs]
    # Those that compute with integers, as a lookup, round nothing.
    dtypes = {arithmetic_dtype(layer) for _, layer in leaves(model)}
    largest = _largest(
        rounding_tolerance(dtype, recurrence.growth, steps)
        for recurrence in recurrences
        for dtype in dtypes & set(OUTPUT_TOLERANCE)
    )
    return min(0.5, 10.0 * largest)
