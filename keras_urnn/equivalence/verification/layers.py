"""Check two cells, or two recurrent layers, against the proof and by running them."""

from typing import Any

import keras

from keras_urnn import _checks, _numbers
from keras_urnn.equivalence.input_bound.given import InputBounds, fit
from keras_urnn.equivalence.models.inputs import Entrances
from keras_urnn.equivalence.plans.layers import entering_cells
from keras_urnn.equivalence.ranges.initial_states import resting_starts
from keras_urnn.equivalence.ranges.intervals import Array, Interval
from keras_urnn.equivalence.ranges.recurrent import (
    SIMPLE_CELLS,
    Starts,
    cells_of,
    visible_units,
)
from keras_urnn.equivalence.refusals import (
    NotCoveredError,
    check_built,
    check_cell,
    check_convertible,
    check_learned,
    refusal,
)
from keras_urnn.equivalence.verification.evidence import Evidence, Trial, examine_cells
from keras_urnn.equivalence.verification.proof import CellPair, claims
from keras_urnn.equivalence.verification.side_by_side import as_model, compare_models
from keras_urnn.equivalence.verification.wiring import recurrent_objections
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
    entering = _entering(original, bounds)
    seen = _checked_readouts(readouts, (cells_of(original), cells_of(converted)))
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
    """The pairs of cells that are compared, and what a proof lacks around them."""
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
    """The cells of a layer and of its conversion, or raise where that can't be."""
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
    """Two single cells of which theorem 1 says nothing; else none."""
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


def _entering(layer: Any, bounds: InputBounds) -> Interval:
    bounds.check_names([layer.name])
    features = cells_of(layer)[0].kernel.shape[0]
    return fit(bounds.of_input(layer.name), features, layer.name, bounds.given)


def _checked_readouts(
    readouts: Any, cells: tuple[list[Any], list[Any]]
) -> tuple[Array, Array] | None:
    """Return the two readouts as arrays, or raise."""
    if readouts is None:
        return None
    expected = (
        "two arrays, of shapes (outputs of the cell, outputs) for the original and "
        "the converted one"
    )
    advice = "They are for two single cells, or layers of one: y = h @ readout."
    if not isinstance(readouts, tuple | list) or len(readouts) != 2:
        raise _checks.error("readouts", expected, readouts, advice)
    if len(cells[0]) != 1 or len(cells[1]) != 1:
        found = f"two arrays, for {len(cells[0])} and {len(cells[1])} cells"
        raise _checks.error("readouts", expected, found, advice)
    first, second = (
        _numbers.real_numbers("readouts", readout, expected, advice)
        for readout in readouts
    )
    rows = [visible_units(one[0]) for one in cells]
    shapes = [first.shape, second.shape]
    fits = [shape[:-1] for shape in shapes] == [(row,) for row in rows]
    if not fits or first.size == 0 or second.size == 0:
        found = f"shapes {shapes}, for cells of {rows[0]} and {rows[1]} outputs"
        raise _checks.error("readouts", expected, found, advice)
    return first, second
