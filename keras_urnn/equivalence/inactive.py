"""`inactive_states`: which states can be removed from a recurrent cell or layer."""

from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from keras_urnn.equivalence.input_bound.given import InputBound
from keras_urnn.equivalence.models.inactivity_by_cell import Proved, prove
from keras_urnn.equivalence.ranges.proof_of_inactivity import Inactivity


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
    return InactivityReport(
        _reported(cell, cell.found) for cell in cells if cell.found is not None
    )


def _reported(proved: Proved, found: Inactivity) -> InactiveStates:
    indices = np.flatnonzero(found.states)
    return InactiveStates(
        name=proved.name,
        units=int(proved.cell.units),
        output_units=proved.visible,
        indices=tuple(indices.tolist()),
        margins=tuple((-found.suprema[indices]).tolist()),
        bounded=found.is_bounded,
    )
