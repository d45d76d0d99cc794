"""Two cells that should compute the same, and the numbers of both."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from keras_urnn.equivalence.plans.unitary_weights import keeps_matrix
from keras_urnn.equivalence.ranges.cells import SIMPLE_CELLS, visible_units
from keras_urnn.equivalence.ranges.intervals import Array, Interval, symmetric
from keras_urnn.equivalence.ranges.recurrence import Recurrence, recurrence_of
from keras_urnn.equivalence.ranges.rescaled_states import in_scale
from keras_urnn.equivalence.verification.same_layers import same
from keras_urnn.layers.unitary_rnn import UnitaryRNNCell


@dataclass(frozen=True, eq=False)
class CellPair:
    """Two cells that should compute the same, and the range of what enters both.

    Attributes:
        name: string. The layer they belong to.
        old: built cell, the original.
        new: built cell, the converted one.
        entering: `Interval` per feature; `None` where a copy needs none.
        start: `Interval` per state that both start from; `None` for the one at rest.
        readouts: the arrays `C`, of shape `(outputs of the cell, outputs)`, that
            each is seen through; `None` to see what the cells output. Defaults to
            `None`.
        hindrance: string. Why theorem 1 does not cover the original; empty where it
            does. Defaults to `""`.
    """

    name: str
    old: Any
    new: Any
    entering: Interval | None
    start: Interval | None = None
    readouts: tuple[Array, Array] | None = None
    hindrance: str = ""

    @property
    def states(self) -> int:
        """How many states the original has, `n`."""
        return int(self.old.units)

    @property
    def is_unitary_already(self) -> bool:
        """Whether the original needed no conversion."""
        return type(self.old) is UnitaryRNNCell

    @property
    def sampled(self) -> Interval:
        """The range to draw inputs from: `|x| <= 1` where none is known."""
        if self.entering is not None:
            return self.entering
        return symmetric(np.ones(self.old.kernel.shape[0]))

    @property
    def is_conversion(self) -> bool:
        """Whether the second may be what `to_unitary` makes of the first."""
        return not self.hindrance and is_conversion(self.old, self.new)

    @property
    def is_comparable(self) -> bool:
        """Whether the two can be run side by side."""
        same_inputs = self.new.kernel.shape[0] == self.old.kernel.shape[0]
        first, second = self.seen_through
        return same_inputs and first.shape[1] == second.shape[1]

    @property
    def shapes(self) -> str:
        """How many inputs and outputs both have, in words."""
        inputs = [cell.kernel.shape[0] for cell in (self.old, self.new)]
        outputs = [readout.shape[1] for readout in self.seen_through]
        return (
            f"{inputs[0]} inputs and {outputs[0]} outputs, "
            f"against {inputs[1]} inputs and {outputs[1]} outputs"
        )

    @property
    def seen_through(self) -> tuple[Array, Array]:
        """The arrays that take all states of each cell to what is compared."""
        cells = (self.old, self.new)
        first, second = (np.eye(int(cell.units), visible_units(cell)) for cell in cells)
        if self.readouts is None:
            return first, second
        return first @ self.readouts[0], second @ self.readouts[1]

    @cached_property
    def recurrences(self) -> tuple[Recurrence, Recurrence]:
        """The numbers of both."""
        return recurrence_of(self.old), recurrence_of(self.new)

    @property
    def in_one_scale(self) -> tuple[Recurrence, Recurrence]:
        """The numbers of both, the original's in the scale of the converted one."""
        old, new = self.recurrences
        d = new.d[: self.states]
        if np.array_equal(old.d, d) or not (self.is_conversion and self.may_scale):
            return old, new
        return in_scale(old, d), new

    @property
    def may_scale(self) -> bool:
        """Whether the original computes the same in other scales of its states."""
        flat = self.recurrences[0].flat
        return flat is not None and flat.homogeneous and not self.is_unitary_already

    @property
    def is_exact(self) -> bool:
        """Whether the numbers of one are, unrounded, those of the other.

        In a scale that isn't a power of two weights are rounded, and so is a matrix
        that a parametrization computes from other weights.
        """
        powers = bool(np.all(np.frexp(self.recurrences[1].d)[0] == 0.5))
        kept = not self.rounds_matrix
        return self.is_copy or (self.is_conversion and kept and powers)

    @property
    def rounds_matrix(self) -> bool:
        """Whether a parametrization of the two gives the matrix to rounding only."""
        maps = [getattr(cell, "parametrization", None) for cell in (self.old, self.new)]
        return not all(map(keeps_matrix, maps))

    @property
    def is_copy(self) -> bool:
        """Whether the two are the same recurrence with the same numbers."""
        old, new = self.recurrences
        numbers = "kernel", "recurrent_matrix", "bias", "initial_state", "centre", "d"
        return (
            all(np.array_equal(getattr(new, x), getattr(old, x)) for x in numbers)
            and same(self.new.activation, self.old.activation)
            and visible_units(self.new) == visible_units(self.old)
        )

    @property
    def largest_added_bias(self) -> float:
        """The largest `|b|` of an added state; 0 where there is none."""
        if not self.is_conversion:
            return 0.0
        added = self.recurrences[1].bias[self.states :]
        return float(np.max(np.abs(added), initial=0.0))


def is_conversion(old: Any, new: Any) -> bool:
    """Whether a cell may be what theorem 1 makes of another: unitary, no smaller."""
    return (
        type(old) in SIMPLE_CELLS
        and type(new) is UnitaryRNNCell
        and bool(new.units >= old.units)
        and new.kernel.shape[0] == old.kernel.shape[0]
    )


def claims(old: Sequence[Any], new: Sequence[Any]) -> bool:
    """Whether the cells of a layer may be what theorem 1 makes of those of another."""
    return len(old) == len(new) and all(map(is_conversion, old, new))
