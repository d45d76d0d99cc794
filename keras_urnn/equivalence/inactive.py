"""`inactive_states`: which states can be removed from a recurrent cell or layer."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any, NamedTuple

import keras
import numpy as np

from keras_urnn import _checks
from keras_urnn.equivalence.input_bound.given import InputBound, InputBounds
from keras_urnn.equivalence.models.exposed_states import exposing_layers
from keras_urnn.equivalence.models.graph import leaves
from keras_urnn.equivalence.models.propagation import Survey, Use
from keras_urnn.equivalence.plans.layers import CONVERTED_LAYERS, entering_layer
from keras_urnn.equivalence.ranges.initial_states import resting_starts
from keras_urnn.equivalence.ranges.proof_of_inactivity import Inactivity, prove_inactive
from keras_urnn.equivalence.ranges.recurrent import (
    SIMPLE_CELLS,
    cell_range,
    cells_of,
    directions_of,
    is_flat,
    recurrence_of,
    visible_range,
    visible_units,
)
from keras_urnn.equivalence.refusals import checked_horizon, refusal


@dataclass(frozen=True)
class InactiveStates:
    """The states of one cell that no admissible input can switch on.

    Attributes:
        name: string. The path of the layer in a model, and the name of the cell where
            the layer is a stack of cells.
        units: integer. The number of states of the cell.
        output_units: integer. How many of them, the first, are outputs of the cell; all
            of them where the model uses the hidden ones elsewhere.
        indices: tuple of integers. The states that stay exactly at rest.
        margins: tuple of floats, one for each. How far inside the half-line on which
            the activation is constant its pre-activation stays, rounding included: it
            stays at least so far from switching on.
        bounded: boolean. Whether the other states have a bound. Without one hardly
            anything can be proved; give a `horizon`.
    """

    name: str
    units: int
    output_units: int
    indices: tuple[int, ...]
    margins: tuple[float, ...]
    bounded: bool

    @property
    def removable(self) -> tuple[int, ...]:
        """The inactive states that are not outputs: `prune_inactive` removes them."""
        return tuple(i for i in self.indices if i >= self.output_units)


class InactivityReport(tuple[InactiveStates, ...]):
    """The result of `inactive_states`, cell by cell; it prints as a short table."""

    __slots__ = ()

    def __str__(self) -> str:
        row = "{:<28} {:>7} {:>9} {:>10} {:>16}".format
        lines = [row("cell", "states", "inactive", "removable", "smallest margin")]
        for cell in self:
            margin = f"{min(cell.margins):.3g}" if cell.margins else "-"
            counts = cell.units, len(cell.indices), len(cell.removable)
            lines.append(row(cell.name, *counts, margin))
        lines += [
            f"- {cell.name}: no bound on the other states; give the largest number of "
            "steps, or a smaller one, as `horizon`"
            for cell in self
            if not cell.bounded
        ]
        return "\n".join(lines)


def inactive_states(
    target: Any, *, input_bound: InputBound, horizon: int | None = None
) -> InactivityReport:
    """Find the states of an RNN that no admissible input can switch on.

    `prune_inactive` removes these states, unless they are outputs.
    With an activation that is `c` for all `z <= e` (for ReLU `c = e = 0`), a state is
    found when it starts at `c` and

        sup h @ R[:, i] + x @ K[:, i] + b_i <= e,

    the supremum being over all inputs within `input_bound` and over a ball and a box
    that hold all states of the others while the states found are at `c`, rounding in
    the compute dtype included. (A half-line that reaches up is treated alike.) The set
    is the largest one for which this is a proof. A state that is not in it may still be
    inactive, as the ball and the box are larger than the set of reachable states.

    At norm 1 states may grow for ever. So the states found must leave others that are
    bounded: of norm below 1, as those that `to_unitary` adds do; for ReLU of norm
    below 1 in some scale of the states, which is looked for, as with `minimize_states`
    (`equivalence.find_scaling`); or of a bounded activation. Otherwise give `horizon`;
    only a state that the others never push up needs no bound on them.

    In a model the range of the inputs is carried through to each layer, as for
    `to_unitary`, and the result for a layer holds for all of its calls.

    Args:
        target: cell, layer or model, built, as for `to_unitary`, and what that
            returns: a `UnitaryRNNCell`, `ContractiveRNNCell` or
            `keras.layers.SimpleRNNCell`, the layer of one, `keras.layers.RNN` over
            such cells (one or a list), `Bidirectional` of these, or a Sequential or
            functional model. The cells must have an activation that is constant on a
            half-line; beside such cells others are left out of the result.
        input_bound: float, array of shape `(features,)`, or dict, as for `to_unitary`.
            The largest |x| that the inputs can take.
        horizon: integer or `None`. The largest number of steps between two resets of
            the state, for which alone the result then holds. Defaults to `None`: any
            number of steps.

    Returns:
        A tuple of one `InactiveStates` for each cell, with `name`, `units`,
        `output_units`, `indices`, `margins`, `bounded` and `removable`; it prints as
        a table.

    Raises:
        ValueError: when `target` is another layer or cell, not built, has an activation
            that is constant on no half-line, recurrent dropout or weights that are not
            finite, `input_bound` or `horizon` is not usable, or a model is one that
            `to_unitary` refuses for its wiring.

    Example:
        ```python
        layer = keras_urnn.ContractiveRNN(4)
        y = layer(keras.random.normal((2, 10, 3)))  # shape (2, 4)
        unitary = keras_urnn.to_unitary(layer, input_bound=1.0)
        found = keras_urnn.inactive_states(unitary, input_bound=1.0)
        print(found)
        ```

    Reference:
        - [Emami et al., 2019](https://arxiv.org/abs/1910.13672), Theorem 1
    """
    proved = prove(target, input_bound, horizon)
    cells = chain.from_iterable(proved.values())
    return InactivityReport(chain.from_iterable(_report(*cell) for cell in cells))


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


def _report(
    name: str, cell: Any, visible: int, found: Inactivity | None
) -> Iterator[InactiveStates]:
    if found is None:
        return
    indices = np.flatnonzero(found.states)
    yield InactiveStates(
        name=name,
        units=int(cell.units),
        output_units=visible,
        indices=tuple(indices.tolist()),
        margins=tuple((-found.suprema[indices]).tolist()),
        bounded=found.is_bounded,
    )
