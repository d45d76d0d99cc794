"""Prove which states stay at rest, in each cell of a cell, layer or model."""

from typing import Any, NamedTuple

import keras

from keras_urnn import _checks
from keras_urnn.equivalence.input_bound.given import InputBound, InputBounds
from keras_urnn.equivalence.models.exposed_states import exposing_layers
from keras_urnn.equivalence.models.graph import leaves
from keras_urnn.equivalence.models.propagation import Survey, Use
from keras_urnn.equivalence.plans.layers import CONVERTED_LAYERS, entering_layer
from keras_urnn.equivalence.ranges.cell_ranges import cell_range, visible_range
from keras_urnn.equivalence.ranges.cells import (
    SIMPLE_CELLS,
    cells_of,
    directions_of,
    is_flat,
    visible_units,
)
from keras_urnn.equivalence.ranges.initial_states import resting_starts
from keras_urnn.equivalence.ranges.proof_of_inactivity import Inactivity, prove_inactive
from keras_urnn.equivalence.ranges.recurrence import recurrence_of
from keras_urnn.equivalence.refusals.targets import checked_horizon, refusal


class Proved(NamedTuple):
    """One cell of a target, and the states that stay at rest in it.

    Attributes:
        name: string that tells the cell from the others of the target.
        cell: built cell.
        visible: integer. How many of its states, the first, are used outside the cell.
        found: `Inactivity`; `None` where nothing can be proved of such a cell.
    """

    name: str
    cell: Any
    visible: int
    found: Inactivity | None


def prove(
    target: Any, input_bound: InputBound, horizon: Any
) -> dict[int, list[Proved]]:
    """Check all arguments, and prove which states of each cell stay at rest.

    Returns:
        A dict from the `id` of the target to the result for each of its `cells_of`; for
        a model, from the `id` of each recurrent layer with a cell of known activation.
    """
    bounds, horizon = InputBounds(input_bound), checked_horizon(horizon)
    if isinstance(target, keras.Model):
        return _of_model(target, bounds, horizon)
    _check_kind(target)
    entering = entering_layer(target, bounds)
    hindrances = [found for found in map(_hindrance, cells_of(target)) if found]
    if len(hindrances) == len(cells_of(target)):
        expected, found, advice = hindrances[0]
        raise refusal(expected, _named_cells(target)[0][0], found, advice)
    is_layer = isinstance(target, keras.layers.RNN | keras.layers.Bidirectional)
    starts = resting_starts(target) if is_layer else [recurrence_of(target).rest]
    return {id(target): _of_use(Use(target, entering, starts), horizon)}


def _check_kind(target: Any) -> None:
    """Raise unless `target` is a cell, a recurrent layer or two of them."""
    name, kind = getattr(target, "name", _checks.shown(target)), type(target)
    if kind is keras.layers.Bidirectional:
        _check_kind(target.forward_layer)
        _check_kind(target.backward_layer)
    elif kind not in (*CONVERTED_LAYERS, *SIMPLE_CELLS):
        advice = "Only what `to_unitary` converts, and what it returns, can be pruned."
        expected = "a recurrent cell, layer or model"
        raise refusal(expected, name, kind.__name__, advice)


def _hindrance(cell: Any) -> tuple[str, str, str] | None:
    """Why nothing can be proved of a cell: what was expected, found, and advised."""
    if cell.recurrent_dropout > 0.0:
        advice = "The proof is for the states as they are; set `recurrent_dropout=0`."
        return "without recurrent dropout", "recurrent_dropout > 0", advice
    if not is_flat(cell):
        advice = (
            "The proof needs an activation that is constant on a half-line, as 'relu' "
            "or 'hard_tanh', in the dtype of the cell; a smooth one switches no state "
            "off exactly."
        )
        name = getattr(cell.activation, "__name__", cell.activation)
        expected = "a recurrence whose activation is constant on a half-line"
        return expected, f"activation {name}", advice
    return None


def _of_model(
    model: Any, bounds: InputBounds, horizon: int | None
) -> dict[int, list[Proved]]:
    survey = Survey(model, bounds, horizon)
    exposing = exposing_layers(model)
    proved: dict[int, list[Proved]] = {}
    for path, layer in leaves(model):
        use = survey.uses.get(id(layer))
        if use is None or id(layer) in proved or all(map(_hindrance, cells_of(layer))):
            continue
        folder = path.removesuffix(layer.name)
        found = _of_use(use, horizon, folder)
        if id(layer) in exposing:
            found = [one._replace(visible=one.cell.units) for one in found]
        proved[id(layer)] = found
    return proved


def _named_cells(target: Any) -> list[tuple[str, Any]]:
    """The cells in the order of `cells_of`, by names that tell them apart."""
    if isinstance(target, keras.layers.Bidirectional):
        return _named_cells(target.forward_layer) + _named_cells(target.backward_layer)
    cells = cells_of(target)
    if len(cells) == 1:
        return [(target.name, cells[0])]
    return [(f"{target.name}/{cell.name}", cell) for cell in cells]


def _of_use(use: Use, horizon: int | None, folder: str = "") -> list[Proved]:
    """Prove which states stay at rest in the cells of a layer, over all its calls."""
    target, starts, proved = use.layer, iter(use.starts), []
    for one in directions_of(target):
        entering = use.entering
        for name, cell in _named_cells(one):
            start, found = next(starts), None
            if _hindrance(cell) is None:
                found = prove_inactive(recurrence_of(cell), entering, horizon, start)
                # The outputs of a cell of a stack enter the next.
                entering = visible_range(found.box if found.is_bounded else None, cell)
            elif entering is not None:
                entering = cell_range(cell, entering, horizon, start)
            proved.append(Proved(f"{folder}{name}", cell, visible_units(cell), found))
    return proved
