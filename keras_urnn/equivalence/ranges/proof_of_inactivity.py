"""Prove which states of a recurrence no admissible input can switch on."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from keras_urnn.equivalence.ranges.intervals import (
    REAL_LINE,
    SMALLEST_NORMAL,
    Array,
    Interval,
    affine,
    magnitude,
    product_error,
    round_down,
    unscaled,
)
from keras_urnn.equivalence.ranges.reachable_states import ReachableStates
from keras_urnn.equivalence.ranges.recurrence import Recurrence
from keras_urnn.equivalence.ranges.rescaled_states import bounded_states, unbounded
from keras_urnn.equivalence.ranges.restricted_recurrence import (
    away_from_centre,
    flat_of,
    restricted,
)


@dataclass(frozen=True, eq=False)
class Inactivity:
    """States that stay exactly at rest, and the numbers that prove it.

    Attributes:
        states: boolean array of shape `(n,)`. Which states stay at the constant `c`.
        suprema: float64 array of shape `(n,)`. How far the pre-activation of each
            state can at most get out of the half-line on which `φ` is `c`, while these
            states are at rest; at most 0 for these states.
        box: `Interval` of shape `(n,)` that holds all states, as computed; infinite
            where those that are left have no bound.
    """

    states: NDArray[np.bool_]
    suprema: Array
    box: Interval

    @property
    def is_bounded(self) -> bool:
        """Whether all states have a bound."""
        return bool(np.all(np.isfinite(self.box.largest)))

    def joined(self, other: "Inactivity") -> "Inactivity":
        """The states that either proof holds at rest, and the smaller bounds."""
        lower = np.maximum(self.box.lower, other.box.lower)
        upper = np.minimum(self.box.upper, other.box.upper)
        suprema = np.minimum(self.suprema, other.suprema)
        return Inactivity(self.states | other.states, suprema, Interval(lower, upper))


def prove_inactive(
    recurrence: Recurrence,
    entering: Interval | None,
    horizon: int | None,
    start: Interval | None = None,
) -> Inactivity:
    """Find the states that are proved to stay at rest.

    A set `B` of states that start at `c`, the value that `φ` has on its half-line,
    stays there when, with `B` at `c`, the recurrence of the others keeps the
    pre-activation of every state in `B` inside the half-line for all inputs. This holds
    by induction over the steps: states at `c` send the others a constant, which is
    exactly 0 where the step is centred on `c`. Candidates that fail are put back among
    the others until none fails.

    The more states are at rest, the smaller is the recurrence of the others: its norm,
    drive and box are no larger, and neither is any supremum (up to the slack for
    rounding where the step is centred elsewhere). So a state that fails for a set fails
    for every smaller set, and the search that begins with all states that start at rest
    ends at the largest set for which the proof holds. It contains every other such set.

    At norm 1 without a horizon the others are bounded in another scale
    (`bounded_states`). That scale is searched for each set, and the search may do worse
    for a part than for the whole. So the states that look as if theorem 1 had added
    them are tried first: the others are then the states for which `to_unitary` had
    found a scale. States that one proof holds at rest are known for the next.

    Args:
        recurrence: `Recurrence`, of an activation that is constant on a half-line.
        entering: `Interval` of the inputs; `None` where they have no bound.
        horizon: integer or `None`.
        start: `Interval` of the states that it starts from; `None` for the one at
            rest. Defaults to `None`.
    """
    start = recurrence.rest if start is None else start
    resting, n = _start_at_rest(recurrence, start), recurrence.units
    known = Inactivity(np.zeros(n, bool), np.full(n, np.inf), REAL_LINE.spread(n))
    for candidates in (_as_added(recurrence, resting), resting):
        off = candidates | known.states
        while True:
            found = _with_these_off(recurrence, off, entering, horizon, start)
            held = known.states | (off & (found.suprema <= 0.0))
            if np.array_equal(held, off):
                break
            off = held
        known = found.joined(known)
    return known


def _start_at_rest(recurrence: Recurrence, start: Interval) -> NDArray[np.bool_]:
    """The states that always start at `c`."""
    c = flat_of(recurrence).value
    # Scaling and unscaling rounds other numbers than 0.
    exact = (recurrence.d == 1.0) | (c == 0.0)
    found: NDArray[np.bool_] = exact & (start.lower == c) & (start.upper == c)
    return found


def _as_added(recurrence: Recurrence, resting: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The last states that look as if theorem 1 had added them.

    They start at rest, see nothing of the input, and of each other only themselves.
    """
    R, n = recurrence.recurrent_matrix, recurrence.units
    first = n
    while first and resting[first - 1] and not recurrence.kernel[:, first - 1].any():
        if R[first - 1, first:].any() or R[first:, first - 1].any():
            break
        first -= 1
    return np.arange(n) >= first


def _with_these_off(
    recurrence: Recurrence,
    off: NDArray[np.bool_],
    entering: Interval | None,
    horizon: int | None,
    start: Interval,
) -> Inactivity:
    flat, dtype = flat_of(recurrence), recurrence.dtype
    on = np.flatnonzero(~off)
    reached = _reached(recurrence, on, entering, horizon, start)
    drive, drive_is_exact = _drive(recurrence, entering)
    recalled, recalled_is_exact = _recalled(recurrence, on, reached, start)
    held, away = recurrence.recurrent_matrix[off], away_from_centre(recurrence)[off]
    edge = flat.side * (flat.edge - away @ held)
    # What states at rest send is rounded, and so is the sum. Numbers below the normal
    # ones may be flushed to 0.
    sent = np.abs(away) @ magnitude(held, dtype)
    error = recurrence.product_error * sent
    error += product_error(dtype, recurrence.units) * abs(flat.edge)
    exact = drive_is_exact & recalled_is_exact & ~np.any(away)
    error = np.where(exact, 0.0, error + SMALLEST_NORMAL[dtype])
    suprema = drive + recalled + edge + error
    box = unscaled(reached.box, recurrence.d[on], dtype)
    lower, upper = np.full((2, recurrence.units), flat.value)
    lower[on], upper[on] = box.lower, box.upper
    return Inactivity(off, suprema, Interval(lower, upper))


def _reached(
    recurrence: Recurrence,
    on: NDArray[np.intp],
    entering: Interval | None,
    horizon: int | None,
    start: Interval,
) -> ReachableStates:
    dtype, none = recurrence.dtype, np.zeros(0)
    if len(on) == 0:
        return ReachableStates(0.0, Interval(none, none), none, dtype)
    rest, start = restricted(recurrence, on), Interval(start.lower[on], start.upper[on])
    if entering is None:
        return unbounded(rest)
    held = np.delete(recurrence.recurrent_matrix, on, axis=0)[:, on]
    sent = np.delete(np.abs(away_from_centre(recurrence)), on) @ magnitude(held, dtype)
    # What they send is rounded in the product, and in the bias that takes its place.
    slack = 2.0 * recurrence.product_error * sent
    return bounded_states(rest, entering, horizon, start, slack)


def _drive(
    recurrence: Recurrence, entering: Interval | None
) -> tuple[Array, NDArray[np.bool_]]:
    """How far `x @ K + b` leads out of the half-line, and where it is not rounded.

    A state that sees no input is driven by its bias alone, which a compute dtype of
    fewer digits may move.
    """
    d, dtype, outwards = recurrence.d, recurrence.dtype, -flat_of(recurrence).side
    kernel, bias = outwards * recurrence.kernel * d, outwards * recurrence.bias * d
    blind = ~np.any(kernel, axis=0) & (d == 1.0)
    alone = -round_down(-bias, dtype)
    if entering is None:
        return np.where(blind, alone, np.inf), blind
    return np.where(blind, alone, affine(entering, kernel, bias, dtype).upper), blind


def _recalled(
    recurrence: Recurrence,
    on: NDArray[np.intp],
    reached: ReachableStates,
    start: Interval,
) -> tuple[Array, NDArray[np.bool_]]:
    """How far `(h - centre) @ R` leads out of the half-line, and where it never does.

    It never does where no term of the sum leads out, however large the states are.
    """
    readout = -flat_of(recurrence).side * recurrence.recurrent_matrix[on]
    image = recurrence.image(REAL_LINE)
    given = unscaled(image, recurrence.d[on], recurrence.dtype)
    lowest = np.minimum(start.lower[on], given.lower)
    positive = (lowest >= recurrence.centre[on])[:, None]
    held = np.all((readout == 0.0) | (positive & (readout < 0.0)), axis=0)
    return np.where(held, 0.0, reached.supremum(readout)), held
