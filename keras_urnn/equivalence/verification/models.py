"""Two models against the proof, layer by layer, and side by side."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_urnn.equivalence.input_bound.given import InputBounds
from keras_urnn.equivalence.models.graph import check_model, graph_of, leaves
from keras_urnn.equivalence.models.inputs import entrances
from keras_urnn.equivalence.models.supported import is_converted
from keras_urnn.equivalence.models.survey import Survey, Use
from keras_urnn.equivalence.ranges.recurrent import cells_of
from keras_urnn.equivalence.refusals import NotCoveredError, check_learned
from keras_urnn.equivalence.verification.comparison import rounding_tolerance
from keras_urnn.equivalence.verification.findings import Findings, Trial, examine
from keras_urnn.equivalence.verification.layers import cell_pairs
from keras_urnn.equivalence.verification.matching import Matching, matched
from keras_urnn.equivalence.verification.measured_rounding import rounding_dtypes
from keras_urnn.equivalence.verification.model_runs import (
    Entered,
    entered,
    trial_batches,
)
from keras_urnn.equivalence.verification.proof import CellPair, claims
from keras_urnn.equivalence.verification.same_layers import difference
from keras_urnn.equivalence.verification.side_by_side import compare_models
from keras_urnn.equivalence.verification.wiring import recurrent_objections


def certify_models(
    original: Any, converted: Any, bounds: InputBounds, trial: Trial
) -> Findings:
    """What is found of two models."""
    for model in (original, converted):
        check_model(model)
    for path, layer in leaves(original):
        for cell in cells_of(layer) if is_converted(layer) else []:
            check_learned(cell, path)
    first, second = original, converted
    matching = matched(first, second)
    if not _claims(matching):
        turned = matched(second, first)
        if _claims(turned):
            # The second may be what is left of the first.
            first, second, matching = converted, original, turned
    found, tolerance = Findings(), None
    try:
        survey = Survey(first, bounds, trial.horizon)
        found.add(_certified(first, survey, matching, trial))
        if found.pairs and not found.gaps:
            tolerance = _tolerance(first, found.pairs, trial.sampling.steps)
    except NotCoveredError as reason:
        found.gaps.append(f"{original.name}: no proof by theorem 1: {reason}")
    ranges, models = entrances(graph_of(original), bounds), (original, converted)
    found.add(compare_models(original.name, models, ranges, trial, tolerance))
    return found


def _claims(matching: Matching) -> bool:
    """Whether a model may be what theorem 1 makes of another, by its layers."""
    return all(
        claims(cells_of(layer), cells_of(other))
        for _, layer, other in matching.layers.values()
        if is_converted(layer)
    )


def _certified(
    original: Any, survey: Survey, matching: Matching, trial: Trial
) -> Findings:
    """Each pair of layers, alone and in a run of the original as a whole.

    Two models are equivalent where they are wired alike, each recurrent layer is what
    theorem 1 makes of its counterpart, or a copy, and all others are copies: then
    equal tensors enter counterparts, and leave them, one call after the other.
    """
    found = Findings(gaps=list(matching.gaps))
    runs = _entered(original, survey, trial)
    for path, old, new in matching.layers.values():
        if is_converted(old):
            use = survey.uses[id(old)]
            found.add(_of_a_layer(path, use, new, trial, runs.get(id(old), [])))
        else:
            # A copy, class, settings, dtypes and weights, computes the same.
            words = difference(old, new)
            found.gaps += [] if words is None else [f"{path}: {words}"]
    return found


def _entered(original: Any, survey: Survey, trial: Trial) -> dict[int, list[Entered]]:
    """What enters each recurrent layer in a run of the original, by its `id`."""
    batches = trial_batches(original, survey.entrances, trial.sampling)
    found: dict[int, list[Entered]] = {}
    for one in entered(original, survey, batches):
        found.setdefault(id(one.layer), []).append(one)
    return found


def _of_a_layer(
    path: str, use: Use, new: Any, trial: Trial, runs: Sequence[Entered]
) -> Findings:
    """The cells of a layer against those of its conversion, or of its copy.

    What entered the layer in a run of the model enters the first of its cells.
    """
    found, layers = Findings(), (use.layer, new)
    found.gaps += recurrent_objections(path, *layers)
    if not isinstance(new, keras.layers.RNN | keras.layers.Bidirectional):
        return found
    try:
        pairs = cell_pairs(path, layers, use.entering, use.starts, trial.horizon)
    except NotCoveredError as reason:
        # Where theorem 1 says nothing a copy still computes the same.
        if difference(*layers) is not None:
            found.gaps.append(f"{path}: no proof by theorem 1: {reason}")
        return found
    if not all(one.starts_inside(use.starts) for one in runs):
        found.gaps.append(f"{path}: what it starts from leaves the range for it")
    for i, pair in enumerate(pairs):
        found.add(examine(pair, trial, [one.x for one in runs] if i == 0 else []))
    return found


def _tolerance(model: Any, pairs: list[CellPair], steps: int) -> float:
    """Ten times that of its recurrent layers: those behind may magnify rounding.

    What a run of the whole model has to show, a layer wired to another, is of order
    1, so that it is never more than 1/2.
    """
    largest = [
        rounding_tolerance(dtype, pair.in_one_scale[0].growth, steps)
        for pair in pairs
        for dtype in rounding_dtypes(model)
    ]
    return min(0.5, 10.0 * float(np.max(largest)))
