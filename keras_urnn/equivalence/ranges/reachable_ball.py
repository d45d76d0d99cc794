"""Bound the norm of the states that a recurrence can reach: the radius of a ball."""

import numpy as np

from keras_urnn.equivalence.ranges.activations import evaluation_error
from keras_urnn.equivalence.ranges.flat_activations import FlatActivation
from keras_urnn.equivalence.ranges.intervals import (
    REAL_LINE,
    Array,
    Interval,
    magnitude,
)
from keras_urnn.equivalence.ranges.recurrence import Recurrence


def ball_radius(
    recurrence: Recurrence, driven: Interval, horizon: int | None, start: Interval
) -> float:
    """Bound `‖h‖` for all (scaled) states from `start` on; infinite without a bound.

    With `z = xK + b - centre R` per unit, `a` a bound on the norm of `R` as computed,
    and `v` such that `|φ(y + z)| <= |y| + v` per unit (`_drive`),

        ‖h‖ <= max(‖h_{-1}‖, ‖v‖ / (1 - a))                     at all times,
        ‖h‖ <= max over k of aᵏ ‖h_{-1}‖ + (1 + ... + aᵏ⁻¹) ‖v‖  for k <= horizon,

    where `h_{-1}` is the state in `start` that is farthest from 0.

    Where the radius for all times is proved, the one over a horizon is no larger. Where
    it is not (`_contraction`), the one over a horizon still is, but it may grow like
    `aᵏ` with `a > 1`: beyond a few steps it is the larger of the two, and in the end it
    is not finite. It is used all the same, as a horizon is given for the sake of a
    proof.

    Args:
        recurrence: `Recurrence`.
        driven: `Interval` per state, the range of `z` as computed.
        horizon: integer or `None`, for any number of steps.
        start: `Interval` per state.
    """
    flat, norm = recurrence.flat, recurrence.norm
    if flat is None or (horizon is None and norm >= 1.0):
        return float("inf")
    sizes = magnitude(recurrence.recurrent_matrix, recurrence.dtype)
    growth = recurrence.product_error * float(np.linalg.norm(sizes, 2))
    # As computed |φ(z)| is at most (1 + rounding) |φ(z)| + rounding.
    rounding = evaluation_error(recurrence.activation, recurrence.dtype)
    growth += rounding * (norm + growth)
    drive = (1.0 + rounding) * _drive(recurrence, flat, driven) + rounding
    first, v = np.linalg.norm(start.largest), np.linalg.norm(drive)
    if horizon is None:
        return float(max(first, v / _contraction(norm, growth)))
    reached = _after(horizon, (norm - 1.0) + growth, float(first), float(v))
    # The radius only grows from step to step, or only shrinks.
    return max(float(first), reached)


def _after(horizon: int, excess: float, first: float, drive: float) -> float:
    """The value of `r` after `horizon` steps `r <- a r + v`, `a = 1 + excess`.

    `aᵏ first + v (aᵏ - 1) / (a - 1)`, with `aᵏ = exp(k log a)`. The exponent is at
    most 710 where that is a number, and rounded by 5 units; so the sum is rounded by
    less than one part in 2^40, and is rounded up by as much.
    """
    if not np.isfinite(first + drive):
        return float("inf")
    steps = float(horizon)
    if excess == 0.0:
        reached = first + steps * drive
    else:
        # `a` may be 0, and its powers may overflow.
        with np.errstate(divide="ignore", over="ignore"):
            exponent = steps * float(np.log1p(excess))
            factors = float(np.exp(exponent)), float(np.expm1(exponent) / excess)
        # Infinity times 0 would not be a number.
        reached = sum(
            a * b for a, b in zip(factors, (first, drive), strict=True) if b > 0.0
        )
    return reached * (1.0 + 2.0**-40)


def _drive(recurrence: Recurrence, flat: FlatActivation, driven: Interval) -> Array:
    """The least `v` known such that `|φ(y + z)| <= |y| + v` for all `z` in `driven`.

    `|z| + κ`, as `|φ(z)| <= |z| + κ`; or `max(z, 0) + κ`, as `φ(z) <= max(z, 0) + κ`,
    but no less than how far `φ` falls below 0: for ReLU `max(z, 0)`.
    """
    depth = np.maximum(-recurrence.image(REAL_LINE).lower, 0.0)
    rising = np.maximum(np.maximum(driven.upper, 0.0) + flat.excess, depth)
    return np.minimum(driven.largest + flat.excess, rising)


def _contraction(norm: float, growth: float) -> float:
    """`1 - a`, where rounding raises the norm of the step to `a = norm + growth`.

    That is `gap - growth` with `gap = 1 - norm`. Where `growth` is more than half of
    the gap, it is `gap / (4 growth / gap)`, which is the same at one half. This holds
    in exact arithmetic, with room for four times the first-order effect of rounding,
    but it is no proof for the computed states, as these may not contract at all. Over a
    horizon the bound is proved.
    """
    gap = 1.0 - norm
    share = growth / gap
    return gap * (1.0 - share) if share <= 0.5 else gap / (4.0 * share)
