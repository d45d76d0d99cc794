"""A lower bound on the states of any unitary RNN with the same outputs."""

from collections.abc import Callable, Sequence
from functools import cache
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from keras_urnn.equivalence.ranges.intervals import Interval
from keras_urnn.theory.decisions import Decisions
from keras_urnn.theory.kept_on import (
    LEAST_MARGIN,
    Steps,
    margin,
    margins,
    steps_to_hold,
)
from keras_urnn.theory.minimal_part import (
    Eigenvalue,
    largest_multiplicity,
    minimal_matrix,
)
from keras_urnn.theory.system import System

Mask = NDArray[np.bool_]

# Up to here all 2^n - 1 sets of states are looked at: 255 linear programs at most.
EXHAUSTIVE = 8


class LinearPart(NamedTuple):
    """What the states of a set do while they are on and the others off.

    Attributes:
        on: tuple of integers. The states of the set.
        order: integer. `m`, the states of the controllable and observable part.
        eigenvalue: `Eigenvalue` or None. The one of that part with modulus below 1
            and the largest geometric multiplicity, `g`.
        doubts: tuple of strings. Rank decisions that were close.
    """

    on: tuple[int, ...]
    order: int
    eigenvalue: Eigenvalue | None
    doubts: tuple[str, ...]

    @property
    def constant_pattern(self) -> int:
        """`m + g`: the bound for a constant on/off pattern."""
        return self.order + (self.eigenvalue.multiplicity if self.eigenvalue else 0)

    @property
    def every_pattern(self) -> int:
        """`m + 1` where `g >= 1`, else `m`: the bound for every unitary RNN."""
        return self.order + (1 if self.eigenvalue else 0)


class LowerBounds(NamedTuple):
    """The best sets for either bound, where any set can be held on.

    Attributes:
        constant_pattern: `LinearPart` or None.
        every_pattern: `LinearPart` or None.
        searched: string. Which sets were looked at.
        doubts: tuple of strings. Decisions behind the bounds that were close.
    """

    constant_pattern: LinearPart | None
    every_pattern: LinearPart | None
    searched: str
    doubts: tuple[str, ...]


def lower_bounds(system: System, entering: Interval | None) -> LowerBounds:
    """Look for the sets of states, held on by some inputs, that prove the most."""
    steps = steps_to_hold(system)

    @cache
    def held(on: tuple[int, ...]) -> float:
        return margin(system, steps, _mask(on, system.units), entering)

    if system.units <= EXHAUSTIVE:
        sets = _all_sets(system.units)
        searched = f"all {len(sets)} sets of states"
    elif len(steps.previous) == 1:
        sets = _shrinking_sets(system, steps, entering, held)
        searched = f"{len(sets)} sets of states, found greedily,"
    else:
        # One linear program over 4 n steps takes seconds to minutes here.
        sets, searched = [tuple(range(system.units))], "one set, all states,"
    parts = [_linear_part(system, on) for on in sets]
    constant = _best(parts, lambda part: part.constant_pattern, held)
    every = _best(parts, lambda part: part.every_pattern, held)
    doubts = {}
    for part in (constant, every):
        if part is not None:
            doubts.update(dict.fromkeys(part.doubts))
            doubts.update(dict.fromkeys(_doubted_margin(held(part.on))))
    return LowerBounds(constant, every, searched, tuple(doubts))


def _linear_part(system: System, on: tuple[int, ...]) -> LinearPart:
    decisions = Decisions(system.units, system.epsilon)
    matrix = minimal_matrix(
        system.kernel[:, on],
        system.recurrent_matrix[np.ix_(on, on)],
        system.readout[list(on)],
        decisions,
    )
    eigenvalue = largest_multiplicity(matrix, decisions)
    return LinearPart(on, len(matrix), eigenvalue, tuple(decisions.doubts))


def _best(
    parts: Sequence[LinearPart],
    worth: Callable[[LinearPart], int],
    held: Callable[[tuple[int, ...]], float],
) -> LinearPart | None:
    # The sort is stable: of equals the largest set comes first.
    for part in sorted(parts, key=worth, reverse=True):
        if held(part.on) > LEAST_MARGIN:
            return part
    return None


def _all_sets(units: int) -> list[tuple[int, ...]]:
    return [on for k in range(units, 0, -1) for on in combinations(range(units), k)]


def _shrinking_sets(
    system: System,
    steps: Steps,
    entering: Interval | None,
    held: Callable[[tuple[int, ...]], float],
) -> list[tuple[int, ...]]:
    """All states, then without the one that is the furthest from on, and so forth.

    It ends with the first set that can be held.
    """
    sets = [tuple(range(system.units))]
    while held(sets[-1]) <= LEAST_MARGIN and len(sets[-1]) > 1:
        on = sets[-1]
        found = margins(system, steps, _mask(on, system.units), entering)
        least = min(on, key=lambda state: found[state])
        sets.append(tuple(state for state in on if state != least))
    return sets


def _mask(on: tuple[int, ...], units: int) -> Mask:
    return np.isin(np.arange(units), on)


def _doubted_margin(value: float) -> list[str]:
    if value > 10.0 * LEAST_MARGIN:
        return []
    return [f"margin of the states on: {value:.3g}, tolerance {LEAST_MARGIN:.3g}"]
