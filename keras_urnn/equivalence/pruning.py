"""Backwards from theorem 1: take the states out that nothing can switch on."""

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from keras_urnn.equivalence.input_bound.given import InputBound
from keras_urnn.equivalence.matrices.dilation import dilate
from keras_urnn.equivalence.models.inactivity_by_cell import Proved, prove
from keras_urnn.equivalence.models.rebuilding import rebuilt
from keras_urnn.equivalence.plans.cells import parametrized
from keras_urnn.equivalence.plans.copies import around_both, around_cells, plan_copy
from keras_urnn.equivalence.plans.plan import Plan
from keras_urnn.equivalence.plans.unitary_weights import CellWeights
from keras_urnn.equivalence.ranges.cells import SIMPLE_CELLS, cells_of
from keras_urnn.equivalence.ranges.intervals import MACHINE_EPSILON
from keras_urnn.equivalence.ranges.recurrence import Recurrence, recurrence_of
from keras_urnn.equivalence.ranges.restricted_recurrence import restricted
from keras_urnn.equivalence.refusals.targets import refusal
from keras_urnn.layers.contractive_rnn import ContractiveRNN, ContractiveRNNCell
from keras_urnn.layers.signatures import argument_names
from keras_urnn.layers.unitary_rnn import UnitaryRNN, UnitaryRNNCell

_LAYER_OF = {
    keras.layers.SimpleRNNCell: keras.layers.SimpleRNN,
    ContractiveRNNCell: ContractiveRNN,
    UnitaryRNNCell: UnitaryRNN,
}


def prune_inactive(
    target: Any, *, input_bound: InputBound, horizon: int | None = None
) -> Any:
    """Return the same RNN without the states that no admissible input can switch on.

    Theorem 1 backwards: the states found by `inactive_states` are exactly at rest at
    each step, and are taken out with their rows and columns. What is left of a unitary
    RNN is an equivalent non-expansive one. After `to_unitary` it gives back kernel,
    recurrent matrix, bias and initial state of the original, bit for bit (and less,
    where the original itself had such states). A scale that the cell carries
    (`state_scale`) is kept, and the matrix is the original's in it. States that rest
    elsewhere than at their `resting_state`, on which the step is centred, send a
    constant to the others: it goes into their bias. Those of a conversion send none.

    States that are outputs are kept, inactive or not: removing them would change what
    the layer gives. So states are removed from cells with `output_units` only; where
    none is left to hide, `output_units` is `None` in the result, and `return_state`
    gives one tensor less. Where nothing can be removed an equal copy is returned.

    What is left of a unitary matrix is a corner of it, of norm at most 1: the cell
    becomes a `ContractiveRNNCell` with `max_norm=1.0`, whose projection leaves that
    corner as it is; where the corner is still orthogonal it stays a `UnitaryRNNCell`.
    Contractive cells keep class and `max_norm`. Name, dtype policy, initializers,
    regularizers, constraints and all flags are kept; a bias is kept, zero or not. A
    stateful layer starts from its resting state.

    A model is rebuilt as by `to_unitary`: each recurrent layer is pruned for what
    enters it, at all of its calls, its other layers are copied, and the original is
    left alone. Hidden states that the model gives on (to another layer, as an output,
    or as `initial_state`) are kept, all of those of the layer.

    The promise is that of `to_unitary`: for inference, for inputs within
    `input_bound`, from the resting state (in a model from every `initial_state` that
    its graph gives, too) and, with `horizon`, for so many steps since the last reset.
    A stateful layer may also start from 0 where it learns its start, and where it is a
    `keras.layers.RNN`: states that rest elsewhere are then kept. The outputs agree to
    rounding, as sums are formed in another order.

    Args:
        target: cell, layer or model, as for `inactive_states`.
        input_bound: float, array or dict, as for `inactive_states`.
        horizon: integer or `None`, as for `inactive_states`. Give the one that was
            given to `to_unitary`. Defaults to `None`.

    Returns:
        A built cell for a cell, a built layer for a layer, a model for a model.

    Raises:
        ValueError: as for `inactive_states`, when the matrix of a unitary cell has
            norm above 1 (its weights were set, and not yet projected), and when a
            model has a layer that can't be made from its config.

    Example:
        ```python
        layer = keras_urnn.ContractiveRNN(4)
        y = layer(keras.random.normal((2, 10, 3)))  # shape (2, 4)
        unitary = keras_urnn.to_unitary(layer, input_bound=1.0)
        pruned = keras_urnn.prune_inactive(unitary, input_bound=1.0)
        pruned.recurrent_matrix()  # shape (4, 4)
        ```

    Reference:
        - [Emami et al., 2019](https://arxiv.org/abs/1910.13672), Theorem 1
    """
    proved = prove(target, input_bound, horizon)
    if isinstance(target, keras.Model):
        return rebuilt(target, lambda layer: _plan_of_part(layer, proved))
    plan = _plan_layer(target, iter(proved[id(target)]))
    features = cells_of(target)[0].kernel.shape[0]
    if isinstance(target, SIMPLE_CELLS):
        return plan.build(None, features)
    states = keras.tree.flatten(target.states) if target.stateful else []
    batch_size = states[0].shape[0] if states else None
    return plan.build(batch_size, None, features)


def _plan_of_part(layer: Any, proved: dict[int, list[Proved]]) -> Plan | None:
    """Plan a layer of a model anew; `None` where nothing is proved of it."""
    found = proved.get(id(layer))
    return None if found is None else _plan_layer(layer, iter(found))


def _plan_layer(layer: Any, proved: Iterator[Proved]) -> Plan:
    if isinstance(layer, keras.layers.Bidirectional):
        forward = _plan_layer(layer.forward_layer, proved)
        return around_both(layer, forward, _plan_layer(layer.backward_layer, proved))
    plans = [_plan_cell(next(proved)) for _ in cells_of(layer)]
    if isinstance(layer, SIMPLE_CELLS):
        return plans[0]
    if type(layer) is keras.layers.RNN:
        return around_cells(layer, plans)
    cell, config = plans[0].layer, layer.get_config()
    arguments = cell.get_config()
    config |= {name: arguments[name] for name in argument_names(type(cell))}
    return Plan(_LAYER_OF[type(cell)](**config), plans[0].setters)


def _plan_cell(proved: Proved) -> Plan:
    """Plan the cell without its hidden inactive states."""
    cell, found = proved.cell, proved.found
    config = {**cell.get_config(), "seed": cell.seed}
    hidden = np.arange(cell.units) >= proved.visible
    if found is None or not np.any(found.states & hidden):
        return plan_copy(cell)
    kept = np.flatnonzero(~(found.states & hidden))
    rest = restricted(recurrence_of(cell), kept)
    config["units"] = len(kept)
    # What removed states send from where they rest is a bias.
    config["use_bias"] = cell.use_bias or bool(np.any(rest.bias))
    # Only our cells hide states. Their weights are set afterwards.
    config["output_units"] = proved.visible if proved.visible < len(kept) else None
    for per_state, default in (("resting_state", 0.0), ("state_scale", 1.0)):
        if config[per_state] is not None:
            values = [config[per_state][i] for i in kept]
            config[per_state] = values if set(values) != {default} else None
    new = _class_for(cell, rest, proved.name)
    config |= parametrized(_parametrization_for(new, cell, rest))
    if new is not type(cell):
        config["max_norm"] = 1.0
    weights = CellWeights(
        rest.kernel,
        rest.recurrent_matrix,
        rest.bias if config["use_bias"] else None,
        rest.initial_state if cell.learn_initial_state else None,
    )
    return Plan(new.from_config(config), [weights.set])


def _parametrization_for(new: type[Any], cell: Any, rest: Recurrence) -> Any:
    """That of the cell, where it can hold what is left of the matrix."""
    own = cell.parametrization
    held = new.recurrent_set in own.sets
    if held and own.obstruction(rest.recurrent_matrix, rest.stored_dtype) is None:
        return own
    return None


def _class_for(cell: Any, rest: Recurrence, name: str) -> type[Any]:
    """Where what is left of a unitary matrix belongs; contractive ones stay."""
    if type(cell) is not UnitaryRNNCell:
        return type(cell)
    if rest.norm > 1.0 + rest.tolerance:
        advice = (
            "Its weights were set and not projected since; assign "
            "`cell.recurrent_kernel.constraint(cell.recurrent_kernel)` to it."
        )
        found = f"a recurrent matrix that keeps spectral norm {rest.norm:.6g}"
        raise refusal("unitary where it says so", name, found, advice)
    # Orthogonal is what theorem 1 would add no state to.
    added = dilate(rest.recurrent_matrix, MACHINE_EPSILON[rest.stored_dtype]).readout
    return ContractiveRNNCell if added.size else UnitaryRNNCell
