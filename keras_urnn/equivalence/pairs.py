"""One converted cell against the proof of theorem 1."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_urnn.diagnostics import unitarity_error
from keras_urnn.equivalence.flat_activations import same_activation
from keras_urnn.equivalence.intervals import (
    MACHINE_EPSILON,
    Array,
    Interval,
    symmetric,
)
from keras_urnn.equivalence.reachable import Recurrence
from keras_urnn.equivalence.recurrent import added_bias_bounds, first_biases
from keras_urnn.equivalence.recurrent_ranges import recurrence_of, visible_units
from keras_urnn.equivalence.rescaling import in_scale
from keras_urnn.layers.unitary_rnn import UnitaryRNNCell

# What rounding the entries to the weights' dtype leaves of max|UᵀU - I|. An entry
# changed by 1e-4 moves it by 1e-4 / sqrt(2 n) or more: seen up to n = 4096 in float32.
UNITARITY_TOLERANCE = {
    "float64": 1e-12,
    "float32": 1e-6,
    "bfloat16": 2.0**-7,
    "float16": 2.0**-10,
}


@dataclass(frozen=True, eq=False)
class CellPair:
    """A cell, what it was converted to, and the range of what enters both.

    Attributes:
        name: string. The layer they belong to.
        old: built cell, the original.
        new: built cell, the converted one.
        entering: `Interval` per feature; `None` where a copy needs none.
        start: `Interval` per state that both start from; `None` for the one at rest.
    """

    name: str
    old: Any
    new: Any
    entering: Interval | None
    start: Interval | None = None

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
    def is_comparable(self) -> bool:
        """Whether the two can be run side by side."""
        return (
            type(self.new) is UnitaryRNNCell
            and bool(self.new.built)
            and self.new.units >= self.states
            and self.new.kernel.shape[0] == self.old.kernel.shape[0]
        )

    @property
    def recurrences(self) -> tuple[Recurrence, Recurrence]:
        """The numbers of both, the original's in the scale of the converted one."""
        old, new = recurrence_of(self.old), recurrence_of(self.new)
        if new.scale is None or self.is_unitary_already:
            return old, new
        return in_scale(old, new.d[: self.states]), new

    @property
    def is_exact(self) -> bool:
        """Whether a scaled matrix is the original's without rounding."""
        new = recurrence_of(self.new)
        return bool(np.all(np.frexp(new.d)[0] == 0.5))

    @property
    def largest_added_bias(self) -> float:
        """The largest `|b|` of an added state; 0 where there is none."""
        if not self.is_comparable:
            return float("inf")
        added = recurrence_of(self.new).bias[self.states :]
        return float(np.max(np.abs(added), initial=0.0))

    @property
    def unitarity_error(self) -> float:
        """`max|UᵀU - I|` of the converted cell; infinite if it has no such matrix."""
        return unitarity_error(self.new) if self.is_comparable else float("inf")


def objections(pair: CellPair, horizon: int | None) -> list[str]:
    """What a proof of the equivalence of the two cells would lack, in words."""
    if not pair.is_comparable:
        return [f"{pair.name}: not a built UnitaryRNNCell for the same inputs"]
    old, new = pair.recurrences
    findings = _of_the_cell(pair) | _of_the_first_states(old, new)
    findings |= _of_the_added_states(pair, old, new, horizon)
    return [
        f"{pair.name}: {finding}" for finding, holds in findings.items() if not holds
    ]


def _of_the_cell(pair: CellPair) -> dict[str, bool]:
    error = pair.unitarity_error
    tolerance = UNITARITY_TOLERANCE[pair.new.variable_dtype]
    return {
        f"the recurrent matrix is not orthogonal (error {error:.3g})": error
        <= tolerance,
        "the activation is another": same_activation(
            pair.new.activation, pair.old.activation
        ),
        "a copy has another number of states": (
            pair.new.units == pair.states or not pair.is_unitary_already
        ),
        "it outputs another number of states": (
            visible_units(pair.new) == visible_units(pair.old)
        ),
    }


def _of_the_first_states(old: Recurrence, new: Recurrence) -> dict[str, bool]:
    n = old.units
    corner = new.recurrent_matrix[:n, :n]
    return {
        "the corner is not the original's recurrent matrix": _same(
            corner, old.recurrent_matrix
        ),
        "the input kernel is not the original's": _same(new.kernel[:, :n], old.kernel),
        "the bias is not the original's": _has_the_bias(old, new),
        "the initial state is not the original's": _same(
            new.initial_state[:n], old.initial_state
        ),
    }


def _of_the_added_states(
    pair: CellPair, old: Recurrence, new: Recurrence, horizon: int | None
) -> dict[str, bool]:
    n = old.units
    findings = {
        "an added state sees the input": not np.any(new.kernel[:, n:]),
        "an added state has a scale": pair.is_unitary_already
        or bool(np.all(new.d[n:] == 1.0)),
        "an added state does not start at rest": _start_at_rest(old, new),
    }
    if new.units > n and not pair.is_unitary_already:
        findings["the bias of an added state is beyond what is proved"] = (
            pair.entering is not None
            and _is_far_enough(old, new, pair.entering, horizon, pair.start)
        )
    return findings


def _has_the_bias(old: Recurrence, new: Recurrence) -> bool:
    """Whether it is the original's, less what the added states at rest send."""
    n, expected = old.units, first_biases(old, new.recurrent_matrix)
    if old.flat is None or old.flat.value == 0.0:
        return _same(new.bias[:n], expected)
    # To the rounding of what is stored; NaN fails.
    sent = abs(old.flat.value) * np.abs(new.recurrent_matrix[n:, :n]).sum(axis=0)
    rounding = MACHINE_EPSILON[new.stored_dtype] * (np.abs(old.bias) + sent)
    return bool(np.all(np.abs(new.bias[:n] - expected) <= rounding))


def _start_at_rest(old: Recurrence, new: Recurrence) -> bool:
    added = new.initial_state[old.units :]
    return bool(np.all(added == (old.flat.value if old.flat else 0.0)))


def _is_far_enough(
    old: Recurrence,
    new: Recurrence,
    entering: Interval,
    horizon: int | None,
    start: Interval | None,
) -> bool:
    if old.flat is None:
        return False
    n = old.units
    bounds = added_bias_bounds(old, new.recurrent_matrix, entering, horizon, start)
    # `>=` is False for NaN, which is no proof.
    return bool(np.all(old.flat.side * new.bias[n:] >= bounds))


def _same(found: Array, expected: Array) -> bool:
    return bool(np.array_equal(found, expected))
