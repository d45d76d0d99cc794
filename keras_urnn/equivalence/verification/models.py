"""Check two models against the proof, layer by layer, and by running them."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_urnn.equivalence.input_bound.given import InputBounds
from keras_urnn.equivalence.models.graph import check_model, graph_of, leaves
from keras_urnn.equivalence.models.inputs import entrances
from keras_urnn.equivalence.models.propagation import Survey, Use
from keras_urnn.equivalence.models.supported import is_converted
from keras_urnn.equivalence.ranges.cells import cells_of
from keras_urnn.equivalence.refusals.targets import (
    NotCoveredError,
    check_learned,
    check_step,
)
from keras_urnn.equivalence.verification.cell_pair import CellPair, claims
from keras_urnn.equivalence.verification.comparison import rounding_tolerance
from keras_urnn.equivalence.verification.evidence import Evidence, Trial, examine_cells
from keras_urnn.equivalence.verification.layer_flags import recurrent_objections
from keras_urnn.equivalence.verification.layer_inputs import Entered, entered
from keras_urnn.equivalence.verification.layers import cell_pairs
from keras_urnn.equivalence.verification.matching import Matching, matched
from keras_urnn.equivalence.verification.measured_rounding import rounding_dtypes
from keras_urnn.equivalence.verification.model_runs import trial_batches
from keras_urnn.equivalence.verification.same_layers import difference
from keras_urnn.equivalence.verification.side_by_side import compare_models


def certify_models(
    original: Any, converted: Any, bounds: InputBounds, trial: Trial
) -> Evidence:
    """Check two models against the proof, layer by layer, and run them."""
    for model in (original, converted):
        check_model(model)
    for path, layer in leaves(original):
        for cell in cells_of(layer) if is_converted(layer) else []:
            check_learned(cell, path)
    for path, layer in leaves(converted):
        for cell in cells_of(layer) if is_converted(layer) else []:
            check_step(cell, path)
    first, matching = _original_first(original, converted)
    found, tolerance = Evidence(), None
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


def _original_first(original: Any, converted: Any) -> tuple[Any, Matching]:
    """The model from which theorem 1 may make the other, matched with that.

    The second may be the part of the first that `prune_inactive` has kept.
    """
    matching = matched(original, converted)
    if not _claims(matching):
        turned = matched(converted, original)
        if _claims(turned):
            return converted, turned
    return original, matching


def _claims(matching: Matching) -> bool:
    """Whether each layer may be the conversion of its counterpart by theorem 1."""
    return all(
        claims(cells_of(layer), cells_of(other))
        for _, layer, other in matching.layers.values()
        if is_converted(layer)
    )


def _certified(
    original: Any, survey: Survey, matching: Matching, trial: Trial
) -> Evidence:
    """Check each pair of layers, alone and in a run of the original as a whole.

    Two models are equivalent where they are wired alike, each recurrent layer is the
    conversion of its counterpart by theorem 1, or a copy, and all other layers are
    copies. Then equal tensors enter counterparts, and leave them, call by call.
    """
    found = Evidence(gaps=list(matching.gaps))
    runs = _entered(original, survey, trial)
    for path, old, new in matching.layers.values():
        if is_converted(old):
            use = survey.uses[id(old)]
            found.add(_of_a_layer(path, use, new, trial, runs.get(id(old), [])))
        else:
            # A layer of the same class, settings, dtypes and weights computes the same.
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
) -> Evidence:
    """Check the cells of a layer against those of its conversion, or of its copy.

    The first cell also runs on the inputs that entered the layer in the run of the
    model.
    """
    found, layers = Evidence(), (use.layer, new)
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
        found.add(examine_cells(pair, trial, [one.x for one in runs] if i == 0 else []))
    return found


def _tolerance(model: Any, pairs: list[CellPair], steps: int) -> float:
    """How far rounding may move the outputs of a model, relative to the largest.

    Ten times as far as in its recurrent layers, since the layers behind them may
    magnify rounding, but never more than 1/2: a run of the whole model has to show
    errors in the wiring, and these change outputs by about their own size.
    """
    largest = [
        rounding_tolerance(dtype, pair.in_one_scale[0].growth, steps)
        for pair in pairs
        for dtype in rounding_dtypes(model)
    ]
    return min(0.5, 10.0 * float(np.max(largest)))
