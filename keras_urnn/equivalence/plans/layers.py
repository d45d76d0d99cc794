"""Theorem 1 for one recurrent layer: a new cell for each, and the layer around."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_urnn.equivalence.input_bound.given import InputBounds, fit
from keras_urnn.equivalence.plans.copies import draw_again, leave_unset
from keras_urnn.equivalence.plans.weights import (
    CellWeights,
    UnitaryWeights,
    dilated_weights,
    holdable,
    keeps_matrix,
)
from keras_urnn.equivalence.progress import advance
from keras_urnn.equivalence.ranges.intervals import Interval
from keras_urnn.equivalence.ranges.recurrent import (
    OUR_CELLS,
    Starts,
    cell_range,
    cells_of,
    directions_of,
    recurrence_of,
    visible_units,
)
from keras_urnn.equivalence.ranges.rescaled_states import with_few_added_states
from keras_urnn.equivalence.refusals import (
    check_biases,
    check_cell,
    check_convertible,
    refusal,
)
from keras_urnn.layers.contractive_rnn import ContractiveRNN
from keras_urnn.layers.unitary_rnn import UnitaryRNN, UnitaryRNNCell
from keras_urnn.parametrizations import Parametrization

STAGES = 2  # that a conversion of one cell shows in the progress bar
CONVERTED_LAYERS = (
    keras.layers.RNN,
    keras.layers.SimpleRNN,
    ContractiveRNN,
    UnitaryRNN,
)
# What the converted cell does not take over. The constraints and regularizers of the
# bias and the recurrent kernel would act on the added states, and the initializer on
# a matrix of another size. (Keras leaves the seed out of SimpleRNN's config.)
_REPLACED = (
    "units",
    "seed",
    "activation",
    "use_bias",
    "max_norm",
    "parametrization",
    "output_units",
    "learn_initial_state",
    "resting_state",
    "state_scale",
    "recurrent_initializer",
    "recurrent_regularizer",
    "recurrent_constraint",
    "bias_regularizer",
    "bias_constraint",
)


@dataclass(frozen=True)
class Options:
    """How `to_unitary` is to convert, as its arguments of these names say."""

    horizon: int | None = None
    minimize_states: bool = False
    parametrization: Parametrization | None = None


@dataclass(frozen=True, eq=False)
class Plan:
    """A new layer or cell, not yet built, and what sets its cells once it is.

    Attributes:
        layer: the new layer or cell.
        setters: for each of `cells_of(layer)` a function that sets its weights.
    """

    layer: Any
    setters: list[Callable[[Any], None]]

    def __post_init__(self) -> None:
        leave_unset(self.layer)

    def build(self, *shape: Any) -> Any:
        """Build the new layer for inputs of this shape, set its weights, return it."""
        self.layer.build(shape)
        return self.finish()

    def finish(self) -> Any:
        """Set the weights of the new layer, which has been built by a call."""
        draw_again(self.layer)
        for cell, set_weights in zip(cells_of(self.layer), self.setters, strict=True):
            set_weights(cell)
        for layer in directions_of(self.layer):
            if type(layer) is UnitaryRNN:
                layer.reset_state()  # does nothing where it is not stateful
        return self.layer


def are_unitary(cells: Sequence[Any]) -> bool:
    """Whether all of these cells are to be copied: a copy needs no range."""
    return all(type(cell) is UnitaryRNNCell for cell in cells)


def entering_layer(layer: Any, bounds: InputBounds) -> Interval:
    """The range given for what enters a built layer or cell on its own, or raise."""
    for cell in cells_of(layer):
        check_cell(cell, layer.name)
    bounds.check_names([layer.name])
    features = cells_of(layer)[0].kernel.shape[0]
    return fit(bounds.of_input(layer.name), features, layer.name, bounds.given)


def plan_copy(cell: Any) -> Plan:
    """Plan an equal cell: same class, same config, the same raw weights."""
    weights = cell.get_weights()
    # Keras leaves the seed out of the config of `SimpleRNNCell`.
    new = type(cell).from_config({**cell.get_config(), "seed": cell.seed})
    return Plan(new, [lambda copy: copy.set_weights(weights)])


def plan_cell(
    cell: Any,
    entering: Interval | None,
    options: Options,
    name: str,
    start: Interval | None = None,
) -> Plan:
    """Plan the conversion of one cell; a unitary one is copied."""
    check_cell(cell, name)
    if type(cell) is UnitaryRNNCell:
        return _plan_unitary(cell, options.parametrization)
    recurrence = check_convertible(cell, name, options.horizon)
    advance()
    assert entering is not None  # only copies are planned without
    if options.minimize_states:
        recurrence = with_few_added_states(recurrence_of(cell), recurrence)
        # Such scales round the weights: the range of what a cell before this one gives
        # is another, by a little, when its scaled weights are read (`prune_inactive`).
        entering = entering.widen(2.0**-10 * entering.largest)
    new = dilated_weights(
        recurrence, entering, options.horizon, start, options.parametrization
    )
    advance()
    check_biases(new.bias[recurrence.units :], recurrence.dtype, name)
    config = {**_kept(cell.get_config()), **_unitary_arguments(cell, new)}
    config |= parametrized(options.parametrization)
    if recurrence.scale is not None:
        added = len(new.bias) - recurrence.units
        config["state_scale"] = np.pad(recurrence.d, (0, added), constant_values=1.0)
    learned = new.initial_state if config["learn_initial_state"] else None
    weights = CellWeights(new.kernel, new.recurrent_matrix, new.bias, learned)
    return Plan(UnitaryRNNCell(**config), [weights.set])


def parametrized(parametrization: Parametrization | None) -> dict[str, Any]:
    """The arguments of a cell whose recurrent matrix is set after it is built."""
    if keeps_matrix(parametrization):
        # The identity is the cheapest matrix to project.
        chosen = parametrization or "projection"
        return {"parametrization": chosen, "recurrent_initializer": "identity"}
    # The identity may be a matrix that others can't give.
    return {"parametrization": parametrization, "recurrent_initializer": "orthogonal"}


def _plan_unitary(cell: Any, parametrization: Parametrization | None) -> Plan:
    """Plan a copy of a unitary cell, in a parametrization where one is given."""
    if parametrization is None or _are_alike(parametrization, cell.parametrization):
        return plan_copy(cell)
    found = recurrence_of(cell)
    matrix = found.recurrent_matrix
    if not keeps_matrix(parametrization):
        matrix = holdable(matrix, len(matrix), parametrization, found.stored_dtype)
    config = {**cell.get_config(), **parametrized(parametrization)}
    weights = CellWeights(
        found.kernel,
        matrix,
        None if cell.bias is None else found.bias,
        found.initial_state if cell.learn_initial_state else None,
    )
    return Plan(UnitaryRNNCell.from_config(config), [weights.set])


def _are_alike(one: Parametrization, other: Parametrization) -> bool:
    return type(one) is type(other) and one.get_config() == other.get_config()


def _kept(config: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in config.items() if key not in _REPLACED}


def _unitary_arguments(cell: Any, new: UnitaryWeights) -> dict[str, Any]:
    ours = type(cell) in OUR_CELLS
    units, visible = len(new.bias), visible_units(cell)
    own = (cell.resting_state if ours else None) or [0.0] * cell.units
    centre = [*own, *new.resting_state[cell.units :]]
    return {
        "units": units,
        "seed": cell.seed,
        # A layer as activation is made anew.
        "activation": cell.get_config()["activation"],
        "use_bias": True,
        # An orthogonal matrix needs no added states, and then all are output.
        "output_units": visible if visible < units else None,
        "learn_initial_state": ours and cell.learn_initial_state,
        "resting_state": centre if any(centre) else None,
        "state_scale": None,
    }


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
    replaced = {key: cell[key] for key in _REPLACED if key in cell}
    return Plan(UnitaryRNN(**_kept(layer.get_config()), **replaced), plan.setters)


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


def around_cells(layer: Any, plans: Sequence[Plan]) -> Plan:
    """A `keras.layers.RNN` with the flags of `layer` around new cells."""
    config = layer.get_config()
    serialized = [keras.layers.serialize(plan.layer) for plan in plans]
    config["cell"] = serialized[0]
    if isinstance(layer.cell, keras.layers.StackedRNNCells):
        stack = {**layer.cell.get_config(), "cells": serialized}
        new = keras.layers.StackedRNNCells.from_config(stack)
        config["cell"] = keras.layers.serialize(new)
    setters = [setter for plan in plans for setter in plan.setters]
    return Plan(keras.layers.RNN.from_config(config), setters)


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


def around_both(layer: Any, forward: Plan, backward: Plan) -> Plan:
    """A `Bidirectional` that merges as `layer` does around two new directions."""
    config = layer.get_config()
    config["layer"] = keras.layers.serialize(forward.layer)
    config["backward_layer"] = keras.layers.serialize(backward.layer)
    new = keras.layers.Bidirectional.from_config(config)
    return Plan(new, forward.setters + backward.setters)
