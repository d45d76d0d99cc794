"""Theorem 1 for one cell: the unitary cell that takes its place."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_urnn.activations.base import CellActivation
from keras_urnn.equivalence.plans.copies import plan_copy
from keras_urnn.equivalence.plans.plan import Options, Plan
from keras_urnn.equivalence.plans.unitary_weights import (
    CellWeights,
    UnitaryWeights,
    dilated_weights,
    holdable,
    keeps_matrix,
)
from keras_urnn.equivalence.progress_bar import advance
from keras_urnn.equivalence.ranges.cells import OUR_CELLS, visible_units
from keras_urnn.equivalence.ranges.intervals import Interval
from keras_urnn.equivalence.ranges.recurrence import recurrence_of
from keras_urnn.equivalence.ranges.rescaled_states import with_few_added_states
from keras_urnn.equivalence.refusals.targets import check_cell
from keras_urnn.equivalence.refusals.theorem_1 import check_biases, check_convertible
from keras_urnn.layers.unitary_rnn import UnitaryRNNCell
from keras_urnn.parametrizations import Parametrization

# What the converted cell does not take over. The constraints and regularizers of the
# bias and the recurrent kernel would act on the added states, and the initializer on
# a matrix of another size. (Keras leaves the seed out of SimpleRNN's config.)
REPLACED = (
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


def are_unitary(cells: Sequence[Any]) -> bool:
    """Whether all of these cells are to be copied: a copy needs no range."""
    return all(type(cell) is UnitaryRNNCell for cell in cells)


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
    config = {**kept_arguments(cell.get_config()), **_unitary_arguments(cell, new)}
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
    new = UnitaryRNNCell.from_config(config)
    return Plan(new, [lambda built: _set_all(weights, cell, built)])


def _set_all(weights: CellWeights, old: Any, new: Any) -> None:
    """Set the weights of a cell; those of its activation are the old cell's."""
    weights.set(new)
    if isinstance(old.activation, CellActivation):
        new.activation.set_weights(old.activation.get_weights())


def _are_alike(one: Parametrization, other: Parametrization) -> bool:
    return type(one) is type(other) and one.get_config() == other.get_config()


def kept_arguments(config: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a cell, or of its layer, that its conversion has, too."""
    return {key: value for key, value in config.items() if key not in REPLACED}


def _unitary_arguments(cell: Any, new: UnitaryWeights) -> dict[str, Any]:
    ours = type(cell) in OUR_CELLS
    units, visible = len(new.bias), visible_units(cell)
    own = (cell.resting_state if ours else None) or [0.0] * cell.units
    centre = [*own, *new.resting_state[cell.units :]]
    return {
        "units": units,
        "seed": cell.seed,
        # A layer as activation becomes another layer of the same config.
        "activation": cell.get_config()["activation"],
        "use_bias": True,
        # An orthogonal matrix needs no added states, and then all are output.
        "output_units": visible if visible < units else None,
        "learn_initial_state": ours and cell.learn_initial_state,
        "resting_state": centre if any(centre) else None,
        "state_scale": None,
    }
