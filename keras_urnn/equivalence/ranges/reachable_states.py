"""Bound the states that a recurrence can reach."""

from dataclasses import dataclass

import numpy as np

from keras_urnn.equivalence.ranges.intervals import (
    REAL_LINE,
    Array,
    Interval,
    affine,
    magnitude,
)
from keras_urnn.equivalence.ranges.reachable_ball import ball_radius
from keras_urnn.equivalence.ranges.recurrence import Recurrence, centred_product_error

# The box is a bound after any number of passes. After 50 it has settled for all but the
# slowest networks; fewer passes give a larger box, and larger biases of added states.
NARROWING_PASSES = 50


@dataclass(frozen=True, eq=False)
class ReachableStates:
    """A ball and a box that hold every (scaled) state from the initial one on.

    Attributes:
        radius: float. `‖h‖ <= radius`; infinite where a long horizon leaves no bound.
        box: `Interval` of shape `(n,)`.
        centre: array of shape `(n,)`. What a step subtracts from the (scaled) states.
        dtype: string. The compute dtype whose rounding is included.
    """

    radius: float
    box: Interval
    centre: Array
    dtype: str

    @property
    def is_bounded(self) -> bool:
        """Whether there is a finite bound."""
        return bool(np.isfinite(self.radius))

    def supremum(self, readout: Array) -> Array:
        """An upper bound on `(h - centre) @ readout` per column, as computed.

        The smaller of the bounds by the box and by the ball, plus the rounding of
        the product, but at least 0: an added state whose readout is never positive
        needs no bias, and gets none that could switch it on.
        """
        if not self.is_bounded:
            # Infinity times a weight of 0 would not be a number.
            return np.full(readout.shape[1], np.inf)
        centred = self.box - Interval(self.centre, self.centre)
        by_box = centred.linear(readout).upper
        by_ball = self.radius * np.linalg.norm(readout, axis=0) - self.centre @ readout
        error = centred_product_error(self.dtype, self.centre)
        slack = error * (centred.largest @ magnitude(readout, self.dtype))
        return np.maximum(np.minimum(by_box, by_ball) + slack, 0.0)


def reachable_states(
    recurrence: Recurrence,
    entering: Interval,
    horizon: int | None,
    start: Interval | None = None,
    slack: Array | float = 0.0,
) -> ReachableStates:
    """Bound the states over all inputs in `entering`, from any state in `start`.

    A ball first, from the norm of the recurrent matrix (`ball_radius`). Where `φ` is
    bounded its range is another bound, for any norm and for all times. Then a box,
    narrowed from these unit by unit: a state of the reachable set is the initial one
    `h_{-1}`, or one step from the set. So any number of passes of

        u <- min(u, max(h_{-1}, sup φ(u R⁺ - l R⁻ + z))),    z = xK + b - centre R,

    and likewise for the lower end `l` leaves a bound, and each pass may include its
    own rounding. Masked steps repeat a state, and a stateful layer continues from one:
    both stay inside (with a horizon, if all steps since the last reset are counted).

    Args:
        recurrence: `Recurrence`.
        entering: `Interval` of the inputs.
        horizon: integer or `None`, for any number of steps.
        start: `Interval` of the states that it starts from; `None` for the one at
            rest. The bounds hold for these states and all that follow from them.
            Defaults to `None`.
        slack: array of shape `(n,)` or float. A bound on the rounding of other terms
            that are added to `xK + b`. Defaults to `0.0`.
    """
    d, dtype = recurrence.d, recurrence.dtype
    start = recurrence.rest if start is None else start
    start = Interval(start.lower * d, start.upper * d)
    driven = _driven(recurrence, entering).widen(slack)
    widest = recurrence.image(REAL_LINE)
    within = float(np.linalg.norm(widest.hull(start).largest))
    radius = min(ball_radius(recurrence, driven, horizon, start), within)
    box = Interval.of(
        np.minimum(start.lower, np.maximum(widest.lower, -radius)),
        np.maximum(start.upper, np.minimum(widest.upper, radius)),
    )
    for _ in range(NARROWING_PASSES if np.isfinite(radius) else 0):
        box = _narrow(recurrence, box, driven, radius, start)
    return ReachableStates(radius, box, recurrence.centre * d, dtype)


def _driven(recurrence: Recurrence, entering: Interval) -> Interval:
    """The range of `z = xK + b - centre R` as computed, in the scale of the states."""
    d, dtype = recurrence.d, recurrence.dtype
    driven = affine(entering, recurrence.kernel * d, recurrence.bias * d, dtype)
    sent = Interval(recurrence.sent_by_centre, recurrence.sent_by_centre)
    return (driven - sent).widen(_rounding_of_centre(recurrence))


def _rounding_of_centre(recurrence: Recurrence) -> Array:
    """The rounding of the product of `h - centre` beyond that of the product of `h`."""
    sizes = magnitude(recurrence.recurrent_matrix, recurrence.dtype)
    centre = np.abs(recurrence.centre * recurrence.d)
    return recurrence.product_error * (centre @ sizes)


def _narrow(
    recurrence: Recurrence,
    box: Interval,
    driven: Interval,
    radius: float,
    start: Interval,
) -> Interval:
    matrix, error = recurrence.recurrent_matrix, recurrence.product_error
    sizes = magnitude(matrix, recurrence.dtype)
    recalled = box.linear(matrix).widen(error * (box.largest @ sizes))
    by_ball = (1.0 + error) * radius * np.linalg.norm(sizes, axis=0)
    lower = np.maximum(recalled.lower, -by_ball) + driven.lower
    upper = np.minimum(recalled.upper, by_ball) + driven.upper
    image = recurrence.image(Interval(lower, upper))
    return Interval(
        np.maximum(box.lower, np.minimum(start.lower, image.lower)),
        np.minimum(box.upper, np.maximum(start.upper, image.upper)),
    )
