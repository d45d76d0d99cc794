"""Theorem 1 for one recurrent layer: new cells, and the layer around them."""

from typing import Any

import keras

from keras_urnn.equivalence.input_bound.given import InputBounds
from keras_urnn.equivalence.plans.cells import (
    REPLACED,
    are_unitary,
    kept_arguments,
    parametrized,
    plan_cell,
)
from keras_urnn.equivalence.plans.copies import around_both, around_cells
from keras_urnn.equivalence.plans.plan import Options, Plan
from keras_urnn.equivalence.ranges.cell_ranges import cell_range
from keras_urnn.equivalence.ranges.cells import cells_of
from keras_urnn.equivalence.ranges.intervals import Interval
from keras_urnn.equivalence.ranges.recurrent_layers import Starts
from keras_urnn.equivalence.refusals.targets import check_cell, refusal
from keras_urnn.equivalence.refusals.theorem_1 import check_convertible
from keras_urnn.layers.contractive_rnn import ContractiveRNN
from keras_urnn.layers.unitary_rnn import UnitaryRNN, UnitaryRNNCell

CONVERTED_LAYERS = (
    keras.layers.RNN,
    keras.layers.SimpleRNN,
    ContractiveRNN,
    UnitaryRNN,
)


def entering_layer(layer: Any, bounds: InputBounds) -> Interval:
    """The range given for what enters a built layer or cell on its own, or raise."""
    for cell in cells_of(layer):
        check_cell(cell, layer.name)
    return bounds.of_layer(layer.name, cells_of(layer)[0].kernel.shape[0])


def plan_layer(
    layer: Any,
    entering: Interval | None,
    options: Options,
    starts: Starts | None = None,
) -> Plan:
    """Plan the conversion of a recurrent layer, one by one where it holds several.

    Args:
        layer: built recurrent layer.
        entering: the range of its inputs; `None` where only copies are planned.
        options: `Options`.
        starts: for each of `cells_of(layer)` the range of the states that it starts
            from; `None` for the one at rest. Defaults to `None`, for all of them.
    """
    starts = starts or [None] * len(cells_of(layer))
    if isinstance(layer, keras.layers.Bidirectional):
        return _plan_bidirectional(layer, entering, options, starts)
    if type(layer) not in CONVERTED_LAYERS:
        advice = "Only what theorem 1 speaks about can be converted."
        expected = "made of ContractiveRNN, keras.layers.SimpleRNN or RNN layers"
        raise refusal(expected, layer.name, type(layer).__name__, advice)
    if type(layer) is keras.layers.RNN:
        return _plan_rnn(layer, entering, options, starts)
    plan = plan_cell(layer.cell, entering, options, layer.name, starts[0])
    cell = plan.layer.get_config()
    if type(layer) is UnitaryRNN:
        replaced = {key: cell[key] for key in parametrized(None)}
        return Plan(UnitaryRNN(**{**layer.get_config(), **replaced}), plan.setters)
    replaced = {key: cell[key] for key in REPLACED if key in cell}
    return Plan(
        UnitaryRNN(**kept_arguments(layer.get_config()), **replaced), plan.setters
    )


def entering_cells(
    layer: Any, entering: Interval | None, horizon: int | None, starts: Starts
) -> list[Interval | None]:
    """The range of the inputs of each of `cells_of(layer)`; `None` if not needed."""
    if isinstance(layer, keras.layers.Bidirectional):
        half = len(cells_of(layer.forward_layer))
        forward = entering_cells(layer.forward_layer, entering, horizon, starts[:half])
        return forward + entering_cells(
            layer.backward_layer, entering, horizon, starts[half:]
        )
    ranges, cells = [entering], cells_of(layer)
    for i, cell in enumerate(cells[:-1]):
        copied = are_unitary(cells[i + 1 :])
        found = None if copied else _leaving(cell, ranges[-1], horizon, starts[i])
        ranges.append(found)
    return ranges


def _plan_rnn(
    layer: Any,
    entering: Interval | None,
    options: Options,
    starts: Starts,
) -> Plan:
    cells = cells_of(layer)
    for cell in cells:
        check_cell(cell, layer.name)
    ranges = entering_cells(layer, entering, options.horizon, starts)
    plans = [
        plan_cell(cell, found, options, layer.name, start)
        for cell, found, start in zip(cells, ranges, starts, strict=True)
    ]
    for old, plan in zip(cells, plans, strict=True):
        added = (plan.layer.resting_state or [])[old.units :]
        if layer.stateful and any(added):
            advice = (
                "A keras.layers.RNN resets all states to 0, where added ones can't "
                "rest: use ContractiveRNN or keras.layers.SimpleRNN."
            )
            found = "a stateful keras.layers.RNN over a cell that rests elsewhere"
            raise refusal("at rest where it is reset", layer.name, found, advice)
    return around_cells(layer, plans)


def _leaving(
    cell: Any, entering: Interval | None, horizon: int | None, start: Interval | None
) -> Interval:
    if type(cell) is not UnitaryRNNCell:
        check_convertible(cell, cell.name, horizon)
    found = None if entering is None else cell_range(cell, entering, horizon, start)
    if found is None:
        advice = "Give the largest number of steps, or a smaller one, as `horizon`."
        time = "for ever" if horizon is None else f"over {horizon} steps"
        found_here = f"its outputs, which enter the next cell, are not bounded {time}"
        raise refusal("bounded", cell.name, found_here, advice)
    return found


def _plan_bidirectional(
    layer: Any,
    entering: Interval | None,
    options: Options,
    starts: Starts,
) -> Plan:
    half = len(cells_of(layer.forward_layer))
    forward, backward = (
        plan_layer(one, entering, options, start)
        for one, start in (
            (layer.forward_layer, starts[:half]),
            (layer.backward_layer, starts[half:]),
        )
    )
    return around_both(layer, forward, backward)
