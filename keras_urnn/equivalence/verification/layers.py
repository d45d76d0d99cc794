"""Check two cells, or two recurrent layers, against the proof and by running them."""

from typing import Any

import keras

from keras_urnn import _checks
from keras_urnn.equivalence.input_bound.given import InputBounds
from keras_urnn.equivalence.models.inputs import Entrances
from keras_urnn.equivalence.plans.layers import entering_cells
from keras_urnn.equivalence.ranges.cells import SIMPLE_CELLS, cells_of
from keras_urnn.equivalence.ranges.initial_states import resting_starts
from keras_urnn.equivalence.ranges.intervals import Array, Interval
from keras_urnn.equivalence.ranges.recurrent_layers import Starts
from keras_urnn.equivalence.refusals.targets import (
    NotCoveredError,
    check_built,
    check_cell,
    check_learned,
    check_step,
    refusal,
)
from keras_urnn.equivalence.refusals.theorem_1 import check_convertible
from keras_urnn.equivalence.verification.cell_pair import CellPair, claims
from keras_urnn.equivalence.verification.evidence import Evidence, Trial, examine_cells
from keras_urnn.equivalence.verification.layer_flags import recurrent_objections
from keras_urnn.equivalence.verification.readouts import checked_readouts
from keras_urnn.equivalence.verification.side_by_side import as_model, compare_models
from keras_urnn.layers.unitary_rnn import UnitaryRNNCell


def certify_layers(
    original: Any, converted: Any, bounds: InputBounds, trial: Trial, readouts: Any
) -> Evidence:
    """Check two cells or recurrent layers against the proof, and run them.

    What is proved of the cells of two layers is proved of the layers where both are
    loops of known code with the same flags and dtypes. Where that is not shown the
    layers run as a whole, too, with flags and methods of their own.
    """
    layers = original, converted
    for target in layers:
        _check_recurrent(target)
    for cell in cells_of(original):
        check_learned(cell, original.name)
    for cell in cells_of(converted):
        check_step(cell, converted.name)
    features = cells_of(original)[0].kernel.shape[0]
    entering = bounds.of_layer(original.name, features)
    seen = checked_readouts(readouts, (cells_of(original), cells_of(converted)))
    pairs, gaps = _paired(original.name, layers, entering, trial.horizon, seen)
    found = Evidence(gaps=list(gaps))
    for pair in pairs:
        found.add(examine_cells(pair, trial))
    if not pairs or (gaps and readouts is None):
        found.add(_as_a_whole(original, converted, entering, trial))
    return found


def _paired(
    name: str,
    layers: tuple[Any, Any],
    entering: Interval,
    horizon: int | None,
    readouts: tuple[Array, Array] | None,
) -> tuple[list[CellPair], list[str]]:
    """The pairs of cells to compare, and what a proof lacks in the layers around."""
    layers, readouts = _original_first(layers, readouts)
    starts = resting_starts(layers[0])
    try:
        pairs = cell_pairs(name, layers, entering, starts, horizon, readouts)
    except NotCoveredError as reason:
        pairs = _as_they_are(name, layers, entering, readouts, str(reason))
        if not pairs:
            # Nothing proves two stacks, or two gated layers, equivalent.
            return [], [f"{name}: no proof by theorem 1: {reason}"]
    return pairs, recurrent_objections(name, *layers)


def _original_first(
    layers: tuple[Any, Any], readouts: tuple[Array, Array] | None
) -> tuple[tuple[Any, Any], tuple[Array, Array] | None]:
    """The two in the order in which theorem 1 may make the second from the first.

    The second may be the part of the first that `prune_inactive` has kept.
    """
    first, second = (cells_of(layer) for layer in layers)
    if claims(second, first) and not claims(first, second):
        return layers[::-1], None if readouts is None else readouts[::-1]
    return layers, readouts


def _as_a_whole(
    original: Any, converted: Any, entering: Interval, trial: Trial
) -> Evidence:
    """Run two layers side by side, with their flags and methods of their own."""
    size, name = 2 * trial.sampling.batch_size, original.name
    try:
        models = as_model(original, size), as_model(converted, size)
        entrances = Entrances({x.name: entering for x in models[0].inputs}, {})
        return compare_models(name, models, entrances, trial)
    except Exception as reason:  # the code of a subclass may raise anything
        return Evidence(gaps=[f"{name}: the two can't be run: {reason}"])


def cell_pairs(
    name: str,
    layers: tuple[Any, Any],
    entering: Interval | None,
    starts: Starts,
    horizon: int | None,
    readouts: tuple[Array, Array] | None = None,
) -> list[CellPair]:
    """Pair the cells of a layer with those of its conversion, or raise."""
    old, new = (cells_of(layer) for layer in layers)
    for cell in old:
        check_cell(cell, name)
        if type(cell) is not UnitaryRNNCell:
            check_convertible(cell, name, horizon)
    if not claims(old, new):
        both = f"{_described(old)} and {_described(new)}"
        raise NotCoveredError(f"it makes neither from the other of {both}")
    ranges = entering_cells(layers[0], entering, horizon, starts)
    return [
        CellPair(name, one, other, entering, start, readouts)
        for one, other, entering, start in zip(old, new, ranges, starts, strict=True)
    ]


def _as_they_are(
    name: str,
    layers: tuple[Any, Any],
    entering: Interval,
    readouts: tuple[Array, Array] | None,
    hindrance: str,
) -> list[CellPair]:
    """The one pair of two single cells that theorem 1 does not relate; else none."""
    cells = [cells_of(layer) for layer in layers]
    if len(cells[0]) != 1 or len(cells[1]) != 1:
        return []
    (old,), (new,) = cells
    if type(old) not in SIMPLE_CELLS or type(new) not in SIMPLE_CELLS:
        return []
    return [CellPair(name, old, new, entering, None, readouts, hindrance)]


def _described(cells: list[Any]) -> str:
    return " and ".join(
        f"{type(cell).__name__} of {cell.units} states" for cell in cells
    )


def _check_recurrent(target: Any) -> None:
    """Raise unless `target` is a built recurrent cell or layer."""
    name = getattr(target, "name", _checks.shown(target))
    recurrent = isinstance(target, keras.layers.RNN | keras.layers.Bidirectional)
    if not recurrent and not hasattr(target, "state_size"):
        advice = (
            "To compare other layers, build a `keras.Sequential` or a functional model "
            "of each."
        )
        found = type(target).__name__
        raise refusal("a recurrent cell or layer, or a model", name, found, advice)
    for cell in cells_of(target):
        check_built(cell, name)
        if not hasattr(cell, "kernel"):
            advice = "Build a model around each of the two, and compare these."
            found = f"{type(cell).__name__} has no `kernel`"
            raise refusal("of cells whose inputs can be counted", name, found, advice)
