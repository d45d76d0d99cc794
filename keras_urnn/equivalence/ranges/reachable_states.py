"""Bound the states that a recurrence can reach."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import keras
import numpy as np

from keras_urnn.equivalence.matrices.dilation import norm_tolerance
from keras_urnn.equivalence.ranges.activations import (
    activation_range,
    evaluation_error,
    flat_activation,
)
from keras_urnn.equivalence.ranges.flat_activations import FlatActivation
from keras_urnn.equivalence.ranges.intervals import (
    MACHINE_EPSILON,
    REAL_LINE,
    STORAGE_ROUNDOFF,
    Array,
    Interval,
    affine,
    magnitude,
    product_error,
)

# The box is a bound after any number of passes. After 50 it has settled for all but the
# slowest networks; fewer passes give a larger box, and larger biases of added states.
NARROWING_PASSES = 50


@dataclass(frozen=True, eq=False)
class Recurrence:
    """The numbers of one cell: `h_t = φ((h_{t-1} - centre) @ R + x_t @ K + b)`.

    With a scale `d` they are those of

        h_t = φ(((h_{t-1} - centre)∘d) @ R + (x_t @ K + b)∘d) / d,

    and the scaled states `h∘d` are what is bounded.

    Attributes:
        kernel: float64 array of shape `(features, n)`, `K`.
        recurrent_matrix: float64 array of shape `(n, n)`, `R`.
        bias: float64 array of shape `(n,)`, `b`; zeros where the cell has none.
        initial_state: float64 array of shape `(n,)`, the state at rest: the centre,
            or what was learned.
        dtype: string. The dtype that the cell computes in.
        stored_dtype: string. The dtype its weights are stored in.
        activation: callable, `φ`. Defaults to `keras.activations.relu`.
        scale: float64 array of shape `(n,)`, `d`, or `None` for ones. Defaults to
            `None`.
        resting_state: float64 array of shape `(n,)`, the centre, or `None` for zeros.
            Defaults to `None`.
    """

    kernel: Array
    recurrent_matrix: Array
    bias: Array
    initial_state: Array
    dtype: str
    stored_dtype: str
    activation: Any = keras.activations.relu
    scale: Array | None = None
    resting_state: Array | None = None

    @property
    def units(self) -> int:
        """The number of states, `n`."""
        return len(self.recurrent_matrix)

    @property
    def d(self) -> Array:
        """The scale, written out."""
        return np.ones(self.units) if self.scale is None else self.scale

    @property
    def centre(self) -> Array:
        """The state that the step is centred on, written out."""
        rest = self.resting_state
        return np.zeros(self.units) if rest is None else rest

    @property
    def sent_by_centre(self) -> Array:
        """`(centre∘d) @ R`, which each step subtracts."""
        sent: Array = (self.centre * self.d) @ self.recurrent_matrix
        return sent

    @property
    def affine_bias(self) -> Array:
        """The bias of the same step written with `h` in place of `h - centre`."""
        return self.bias - self.sent_by_centre / self.d

    @property
    def product_error(self) -> float:
        """Relative rounding error of `((h - centre)∘d) @ R`, per `|h - centre|∘d`."""
        return _centred_product_error(self.dtype, self.centre)

    @property
    def rest(self) -> Interval:
        """The state at rest, as an interval."""
        return Interval.of(self.initial_state, self.initial_state)

    @cached_property
    def norm(self) -> float:
        """The spectral norm of `R`."""
        return float(np.linalg.norm(self.recurrent_matrix, 2))

    @property
    def tolerance(self) -> float:
        """How far from 1 rounding may have put the norm."""
        return norm_tolerance(self.units, MACHINE_EPSILON[self.stored_dtype])

    @property
    def is_contractive(self) -> bool:
        """Whether the norm is below 1, and not only by rounding."""
        return self.norm < 1.0 - self.tolerance

    @property
    def flat(self) -> FlatActivation | None:
        """What is known of `φ`, if it is constant on a half-line."""
        return flat_activation(self.activation)

    @property
    def growth(self) -> float:
        """The factor by which a step can multiply an earlier rounding error.

        It is the norm times the slope of `φ`. The slope is taken as 1 where `φ` has no
        half-line: a recurrence with such a `φ` is copied and never converted.
        """
        return self.norm * (self.flat.slope if self.flat else 1.0)

    @property
    def is_bounded(self) -> bool:
        """Whether the states are bounded for ever: by the norm, or by `φ` itself."""
        bounded = bool(np.all(np.isfinite(self.image(REAL_LINE).largest)))
        return bounded or (self.flat is not None and self.is_contractive)

    def image(self, z: Interval) -> Interval:
        """The range of `φ` on `z` as computed; the real line where it isn't known."""
        found = activation_range(self.activation, z, self.dtype)
        return REAL_LINE if found is None else found


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
        """Bound `(h - centre) @ readout` per column, as computed in `dtype`, and 0.

        The smaller of the bounds by the box and by the ball, plus the rounding of
        the product. At least 0: an added state whose readout is never positive
        needs no bias, and gets none that could switch it on.
        """
        if not self.is_bounded:
            # Infinity times a weight of 0 would not be a number.
            return np.full(readout.shape[1], np.inf)
        centred = self.box - Interval(self.centre, self.centre)
        by_box = centred.linear(readout).upper
        by_ball = self.radius * np.linalg.norm(readout, axis=0) - self.centre @ readout
        error = _centred_product_error(self.dtype, self.centre)
        slack = error * (centred.largest @ magnitude(readout, self.dtype))
        return np.maximum(np.minimum(by_box, by_ball) + slack, 0.0)


def _centred_product_error(dtype: str, centre: Array) -> float:
    """The error of the product and one rounding of `h - centre`; `h - 0` has none."""
    difference = STORAGE_ROUNDOFF[dtype] if np.any(centre) else 0.0
    return product_error(dtype, len(centre)) + difference


def reachable_states(
    recurrence: Recurrence,
    entering: Interval,
    horizon: int | None,
    start: Interval | None = None,
    slack: Array | float = 0.0,
) -> ReachableStates:
    """Bound the states over all inputs in `entering`, from any state in `start`.

    `slack` is a bound on the rounding of other terms that are added to `xK + b`.

    A ball first. With `z = xK + b - centre R` per unit, `a` a bound on the norm of `R`
    as computed, and `v` such that `|φ(y + z)| <= |y| + v` per unit (`_drive`),

        ‖h‖ <= max(‖h_{-1}‖, ‖v‖ / (1 - a))                     at all times,
        ‖h‖ <= max over k of aᵏ ‖h_{-1}‖ + (1 + ... + aᵏ⁻¹) ‖v‖  for k <= horizon.

    Where `φ` is bounded its range is another bound, for any norm and for all times.
    Then a box, narrowed from these unit by unit: a state of the set is the
    initial one or one step from the set, so any number of passes of

        u <- min(u, max(h_{-1}, sup φ(u R⁺ - l R⁻ + z)))

    and likewise for the lower end `l` leaves a bound, and each pass may include its
    own rounding. Masked steps repeat a state, and a stateful layer goes on from one:
    both stay inside (with a horizon, as long as all steps since the last reset are
    counted).

    Where the ball for all times is proved, the ball over a horizon lies inside it.
    Where it is not (`_contraction`), the ball over a horizon still is, but may grow
    like `aᵏ` with `a > 1`: beyond a few steps it is the larger, and in the end not
    finite. It is used all the same: a horizon is given for the sake of a proof.

    The promise holds for the states in `start`, by default the one at rest (zeros or
    learned), and what follows from them; above, `h_{-1}` is the farthest of them.
    """
    d, dtype = recurrence.d, recurrence.dtype
    start = recurrence.rest if start is None else start
    start = Interval(start.lower * d, start.upper * d)
    driven = affine(entering, recurrence.kernel * d, recurrence.bias * d, dtype)
    driven = driven - Interval(recurrence.sent_by_centre, recurrence.sent_by_centre)
    driven = driven.widen(slack + _rounding_of_centre(recurrence))
    widest = recurrence.image(REAL_LINE)
    within = float(np.linalg.norm(widest.hull(start).largest))
    radius = min(_ball(recurrence, driven, horizon, start), within)
    box = Interval.of(
        np.minimum(start.lower, np.maximum(widest.lower, -radius)),
        np.maximum(start.upper, np.minimum(widest.upper, radius)),
    )
    for _ in range(NARROWING_PASSES if np.isfinite(radius) else 0):
        box = _narrow(recurrence, box, driven, radius, start)
    return ReachableStates(radius, box, recurrence.centre * d, dtype)


def _rounding_of_centre(recurrence: Recurrence) -> Array:
    """The rounding of the product of `h - centre` beyond that of the product of `h`."""
    sizes = magnitude(recurrence.recurrent_matrix, recurrence.dtype)
    centre = np.abs(recurrence.centre * recurrence.d)
    return recurrence.product_error * (centre @ sizes)


def _ball(
    recurrence: Recurrence, driven: Interval, horizon: int | None, start: Interval
) -> float:
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

    Where rounding could take more than half of `1 - norm`, no bound for all times
    can be proved (at worst the computed recurrence isn't contractive). The share
    then is four times the first-order effect, `1 - norm` over `4 growth / (1 -
    norm)`, which meets the proved formula at one half; give a horizon for a proof.
    """
    gap = 1.0 - norm
    share = growth / gap
    return gap * (1.0 - share) if share <= 0.5 else gap / (4.0 * share)


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
