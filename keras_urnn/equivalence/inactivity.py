"""Which states of a ReLU recurrence no admissible input can switch on."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from keras_urnn.equivalence.intervals import (
    SMALLEST_NORMAL,
    Array,
    Interval,
    affine,
    round_down,
)
from keras_urnn.equivalence.reachable import (
    ReachableStates,
    Recurrence,
    reachable_states,
)


@dataclass(frozen=True, eq=False)
class Inactivity:
    """States that stay exactly 0, and what proves it.

    Attributes:
        states: boolean array of shape `(n,)`. Which states stay 0.
        suprema: float64 array of shape `(n,)`. What the pre-activation of each state
            can't exceed while these states are 0; at most 0 for these states.
        box: `Interval` of shape `(n,)` that holds all states; `None` where those that
            are left have no bound.
    """

    states: NDArray[np.bool_]
    suprema: Array
    box: Interval | None


def prove_inactive(
    recurrence: Recurrence, entering: Interval | None, horizon: int | None
) -> Inactivity:
    """Find the largest set of states that is proved to stay 0.

    A set `B` of states that start at 0 stays 0 when, with `B` at 0, the recurrence of
    the others keeps the pre-activation of every state in `B` at most 0, whatever the
    input: by induction over the steps, as states at 0 send exactly 0 to the others.

    With more states at 0 the others are a part of the recurrence there was: norm,
    drive, rounding and box of `reachable_states` are no larger, and no supremum is.
    So a state that fails for a set fails for every smaller one, and putting back what
    fails, from all states that start at 0 on, ends at the one largest set for which
    the proof holds: it contains all the others.

    Args:
        recurrence: `Recurrence`, of ReLU.
        entering: `Interval` of the inputs; `None` where they have no bound.
        horizon: integer or `None`.
    """
    off = recurrence.initial_state == 0.0
    while True:
        found = _with_these_off(recurrence, off, entering, horizon)
        held = off & (found.suprema <= 0.0)
        if np.array_equal(held, off):
            return found
        off = held


def _with_these_off(
    recurrence: Recurrence,
    off: NDArray[np.bool_],
    entering: Interval | None,
    horizon: int | None,
) -> Inactivity:
    on = np.flatnonzero(~off)
    reached = _reached(restricted(recurrence, on), entering, horizon)
    drive, drive_is_exact = _drive(recurrence, entering)
    recalled, recalled_is_exact = _recalled(recurrence, on, reached)
    # Numbers below the normal ones may be flushed to 0 on the way.
    exact = drive_is_exact & recalled_is_exact
    flushed = np.where(exact, 0.0, SMALLEST_NORMAL[recurrence.dtype])
    box = None
    if reached.is_bounded:
        lower, upper = np.zeros((2, recurrence.units))
        d = recurrence.d[on]
        lower[on], upper[on] = reached.box.lower / d, reached.box.upper / d
        box = Interval(lower, upper)
    return Inactivity(off, drive + recalled + flushed, box)


def restricted(recurrence: Recurrence, states: NDArray[np.intp]) -> Recurrence:
    """The recurrence of these states, the others at 0."""
    return replace(
        recurrence,
        kernel=np.ascontiguousarray(recurrence.kernel[:, states]),
        recurrent_matrix=recurrence.recurrent_matrix[np.ix_(states, states)],
        bias=recurrence.bias[states],
        initial_state=recurrence.initial_state[states],
        scale=None if recurrence.scale is None else recurrence.scale[states],
    )


def _reached(
    recurrence: Recurrence, entering: Interval | None, horizon: int | None
) -> ReachableStates:
    n = recurrence.units
    if n == 0:
        return ReachableStates(0.0, Interval(np.zeros(0), np.zeros(0)), "float64")
    if entering is None or (horizon is None and not recurrence.is_contractive):
        unbounded = Interval(np.full(n, -np.inf), np.full(n, np.inf))
        return ReachableStates(np.inf, unbounded, recurrence.dtype)
    return reachable_states(recurrence, entering, horizon)


def _drive(
    recurrence: Recurrence, entering: Interval | None
) -> tuple[Array, NDArray[np.bool_]]:
    """The supremum of `x @ K + b`, and where nothing is rounded on the way.

    A state that sees nothing of the input is driven by its bias, which a compute dtype
    of fewer digits may move up, and nothing else.
    """
    d, dtype = recurrence.d, recurrence.dtype
    kernel, bias = recurrence.kernel * d, recurrence.bias * d
    blind = ~np.any(kernel, axis=0) & (d == 1.0)
    alone = -round_down(-bias, dtype)
    if entering is None:
        return np.where(blind, alone, np.inf), blind
    return np.where(blind, alone, affine(entering, kernel, bias, dtype).upper), blind


def _recalled(
    recurrence: Recurrence, on: NDArray[np.intp], reached: ReachableStates
) -> tuple[Array, NDArray[np.bool_]]:
    """The supremum of `h @ R` per state, and where it is 0 whatever the rounding.

    Terms that are never positive add up to none, however large they are.
    """
    readout = recurrence.recurrent_matrix[on]
    positive = (recurrence.initial_state[on] >= 0.0)[:, None]
    held = np.all((readout == 0.0) | (positive & (readout < 0.0)), axis=0)
    return np.where(held, 0.0, reached.supremum(readout)), held
