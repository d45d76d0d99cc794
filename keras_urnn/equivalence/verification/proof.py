"""One converted cell against the proof of theorem 1."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from keras_urnn.diagnostics import unitarity_error
from keras_urnn.equivalence.plans.unitary_weights import added_bias_bounds, keeps_matrix
from keras_urnn.equivalence.ranges.intervals import (
    MACHINE_EPSILON,
    Array,
    Interval,
    symmetric,
)
from keras_urnn.equivalence.ranges.reachable_states import Recurrence
from keras_urnn.equivalence.ranges.recurrent import (
    SIMPLE_CELLS,
    recurrence_of,
    visible_units,
)
from keras_urnn.equivalence.ranges.rescaled_states import in_scale
from keras_urnn.equivalence.verification.linear_maps import same_linear_maps
from keras_urnn.equivalence.verification.same_layers import policy_of, same
from keras_urnn.layers.unitary_rnn import UnitaryRNNCell
from keras_urnn.parametrizations import NAMES

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
        """Whether the one is to be what `to_unitary` makes of the other."""
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
        """Whether a conversion computes the same, but for the rounding of its sums.

        Where a scale isn't a power of two its weights are rounded, and so is a matrix
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
        """Whether the two are one network twice."""
        old, new = self.recurrences
        weights = ("kernel", "recurrent_matrix", "bias")
        states = ("initial_state", "centre", "d")
        return (
            all(_same(getattr(new, x), getattr(old, x)) for x in (*weights, *states))
            and same(self.new.activation, self.old.activation)
            and visible_units(self.new) == visible_units(self.old)
        )

    def is_one_linear_map(self, horizon: int | None) -> bool:
        """Whether both are linear, and answer all inputs alike in exact arithmetic."""
        return same_linear_maps(self.recurrences, self.seen_through, horizon)

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


def objections(pair: CellPair, horizon: int | None) -> list[str]:
    """What a proof of the equivalence of the two cells would lack, in words.

    There are three proofs, each for two cells of one dtype policy:

    - both are linear, and all that an input or the start does to the outputs, at any
      step, is the same in exact arithmetic;
    - one is what theorem 1 makes of the other: the first states repeat the original,
      and the added ones never leave their rest, so that they send zeros;
    - both are the same recurrence with the same numbers, seen in the same way.
    """
    findings = _of_the_arithmetic(pair)
    if not pair.is_one_linear_map(horizon):
        if pair.is_conversion or pair.is_copy:
            findings |= _of_the_readouts(pair)
        if pair.is_conversion:
            old, new = pair.in_one_scale
            if pair.rounds_matrix:
                old = _rounded_like(old, new, pair.new.variable_dtype)
            findings |= _of_the_cell(pair) | _of_the_first_states(old, new)
            findings |= _of_the_added_states(pair, old, new, horizon)
        elif not pair.is_copy:
            findings[f"no proof by theorem 1: {pair.hindrance}"] = False
    return [
        f"{pair.name}: {finding}" for finding, holds in findings.items() if not holds
    ]


def _of_the_arithmetic(pair: CellPair) -> dict[str, bool]:
    cells = (pair.old, pair.new)
    policies = [policy_of(cell) for cell in cells]
    maps = [getattr(cell, "parametrization", None) for cell in cells]
    return {
        "the dtype policy is another": policies[0] == policies[1],
        "nothing is known of its parametrization": all(
            one is None or type(one) in NAMES.values() for one in maps
        ),
    }


def _of_the_readouts(pair: CellPair) -> dict[str, bool]:
    if pair.readouts is None:
        return {}
    return {"the readout is another": _same(*pair.readouts)}


def _of_the_cell(pair: CellPair) -> dict[str, bool]:
    error = unitarity_error(pair.new)
    tolerance = UNITARITY_TOLERANCE[pair.new.variable_dtype]
    return {
        f"the recurrent matrix is not orthogonal (error {error:.3g})": error
        <= tolerance,
        "the activation is another": same(pair.new.activation, pair.old.activation),
        "the state scale is another": pair.may_scale
        or np.array_equal(pair.recurrences[0].d, pair.recurrences[1].d[: pair.states]),
        "a copy has another number of states": (
            pair.new.units == pair.states or not pair.is_unitary_already
        ),
    }


def _rounded_like(old: Recurrence, new: Recurrence, dtype: str) -> Recurrence:
    """The original with the corner as its matrix, where that is its own to rounding.

    A parametrization that computes its matrix from other weights gives one that is
    assigned to `4 n eps` (law L3 of `parametrizations.base`).
    """
    n, most = old.units, 4 * new.units * MACHINE_EPSILON[dtype]
    corner = new.recurrent_matrix[:n, :n]
    near = bool(np.all(np.abs(corner - old.recurrent_matrix) <= most))
    return replace(old, recurrent_matrix=corner) if near else old


def _of_the_first_states(old: Recurrence, new: Recurrence) -> dict[str, bool]:
    n = old.units
    corner = new.recurrent_matrix[:n, :n]
    return {
        "the corner is not the original's recurrent matrix": _same(
            corner, old.recurrent_matrix
        ),
        "the input kernel is not the original's": _same(new.kernel[:, :n], old.kernel),
        "the bias is not the original's": _same(new.bias[:n], old.bias),
        "the initial state is not the original's": _same(
            new.initial_state[:n], old.initial_state
        ),
        "the resting state is not the original's": _same(new.centre[:n], old.centre),
    }


def _of_the_added_states(
    pair: CellPair, old: Recurrence, new: Recurrence, horizon: int | None
) -> dict[str, bool]:
    n, rest = old.units, old.flat.value if old.flat else 0.0
    findings = {
        "an added state sees the input": not np.any(new.kernel[:, n:]),
        "an added state has a scale": pair.is_unitary_already
        or bool(np.all(new.d[n:] == 1.0)),
        "an added state does not start at rest": bool(
            np.all(new.initial_state[n:] == rest)
        ),
        "an added state sends something at rest": bool(np.all(new.centre[n:] == rest)),
    }
    if new.units > n and not pair.is_unitary_already:
        findings["the bias of an added state is beyond what is proved"] = (
            pair.entering is not None
            and _is_far_enough(old, new, pair.entering, horizon, pair.start)
        )
    return findings


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
