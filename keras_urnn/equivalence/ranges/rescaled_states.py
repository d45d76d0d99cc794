"""Diagonal scaling of a recurrence: the scales in which theorem 1 applies to it."""

from dataclasses import replace

import numpy as np

from keras_urnn.equivalence.matrices.dilation import dilates_but_for_rounding
from keras_urnn.equivalence.matrices.least_states import (
    added_states,
    minimize_added_states,
)
from keras_urnn.equivalence.matrices.obstructions import Obstruction
from keras_urnn.equivalence.matrices.scaled_matrices import similar
from keras_urnn.equivalence.matrices.scaling import find_scaling
from keras_urnn.equivalence.ranges.intervals import (
    MACHINE_EPSILON,
    REAL_LINE,
    Array,
    Interval,
    as_stored,
    round_down,
)
from keras_urnn.equivalence.ranges.reachable_states import (
    ReachableStates,
    reachable_states,
)
from keras_urnn.equivalence.ranges.recurrence import Recurrence

# With these scales, scaled states stay far from overflow and underflow in each dtype.
LARGEST_EXPONENT = {"float64": 500, "float32": 60, "bfloat16": 60, "float16": 6}


def in_scale(recurrence: Recurrence, d: Array) -> Recurrence:
    """The same recurrence in scaled states `h∘d`, in place of the scale that it had.

    The recurrent matrix becomes `diag(1/d) @ R @ diag(d)`, as it can be stored: exact
    where `d` are powers of two.
    """
    matrix = similar(recurrence.recurrent_matrix, d / recurrence.d)
    stored = as_stored(matrix, recurrence.stored_dtype)
    return replace(recurrence, recurrent_matrix=stored, scale=d)


def admissible(recurrence: Recurrence, horizon: int | None) -> Recurrence | Obstruction:
    """The recurrence in scales in which its matrix is small enough for theorem 1.

    The norm has to be below 1, or at most 1 where there is a horizon. A recurrence of
    such a norm is returned as it is, and so is one whose activation doesn't satisfy
    `φ(d z) = d φ(z)`, as scales would change it. For others `find_scaling` is asked,
    and its `Obstruction` is returned where it finds no scales.
    """
    tolerance = recurrence.tolerance
    below = 1.0 - tolerance if horizon is None else 1.0 + tolerance
    homogeneous = recurrence.flat is not None and recurrence.flat.homogeneous
    if recurrence.norm < below or not homogeneous:
        return recurrence
    found = find_scaling(recurrence.recurrent_matrix, below=below)
    if isinstance(found, Obstruction):
        return found
    scaled = _scaled_further(recurrence, found.d)
    epsilon = MACHINE_EPSILON[recurrence.stored_dtype]
    if scaled.is_contractive or dilates_but_for_rounding(
        scaled.recurrent_matrix, epsilon
    ):
        return scaled
    smaller = find_scaling(recurrence.recurrent_matrix, below=1.0 - tolerance)
    if isinstance(smaller, Obstruction):
        return smaller
    return _scaled_further(recurrence, smaller.d)


def _scaled_further(recurrence: Recurrence, d: Array) -> Recurrence:
    """The recurrence in the scale `d` on top of its own, as the dtype holds it."""
    return in_scale(recurrence, -round_down(-d * recurrence.d, recurrence.dtype))


def with_few_added_states(original: Recurrence, recurrence: Recurrence) -> Recurrence:
    """The original in a scale of norm at most 1 that adds fewer states.

    Args:
        original: the recurrence in its own scale.
        recurrence: the same in the scale of `admissible`. It is returned where no scale
            is found that adds fewer states, and where the compute dtype can't hold the
            scale, or rounds it to one of a larger norm.
    """
    if original.flat is None or not original.flat.homogeneous:
        return recurrence
    epsilon = MACHINE_EPSILON[original.stored_dtype]
    found = minimize_added_states(original.recurrent_matrix, epsilon)
    if isinstance(found, Obstruction):
        return recurrence
    scaled = _scaled_further(original, found.d)
    fewer = added_states(scaled.recurrent_matrix, epsilon) < added_states(
        recurrence.recurrent_matrix, epsilon
    )
    small = scaled.norm <= 1.0 + scaled.tolerance
    fits = exponent_range(scaled) <= LARGEST_EXPONENT[scaled.dtype]
    sound = dilates_but_for_rounding(scaled.recurrent_matrix, epsilon)
    return scaled if fewer and small and fits and sound else recurrence


def bounded_states(
    recurrence: Recurrence,
    entering: Interval,
    horizon: int | None,
    start: Interval | None = None,
    slack: Array | float = 0.0,
) -> ReachableStates:
    """`reachable_states`, bounded in another scale where this one gives no bound.

    At norm 1 and without a horizon the states are bounded in a scale of smaller norm,
    if there is one. The search for it begins twice: at the scale of the recurrence,
    which has the smaller norm, and without a scale, as an original that is contractive
    itself bounds its own states there. Both bounds hold. The effect of rounding is
    relative to each term of a sum, and so is the same in every scale.
    """
    if horizon is not None or recurrence.is_bounded:
        return reachable_states(recurrence, entering, horizon, start, slack)
    origins = [recurrence]
    if recurrence.scale is not None:
        origins.append(in_scale(recurrence, np.ones(recurrence.units)))
    found = unbounded(recurrence)
    for origin in origins:
        other = admissible(origin, None)
        if isinstance(other, Obstruction) or not other.is_bounded:
            continue
        ratio = recurrence.d / other.d
        box = reachable_states(other, entering, horizon, start, slack / ratio).box
        lower = np.maximum(found.box.lower, box.lower * ratio)
        upper = np.minimum(found.box.upper, box.upper * ratio)
        box = Interval(lower, upper)
        radius = float(np.linalg.norm(box.largest))
        found = replace(found, radius=radius, box=box)
    return found


def unbounded(recurrence: Recurrence) -> ReachableStates:
    """The bound on states that have none: the real line."""
    nothing, centre = REAL_LINE.spread(recurrence.units), recurrence.centre
    return ReachableStates(np.inf, nothing, centre * recurrence.d, recurrence.dtype)


def exponent_range(recurrence: Recurrence) -> int:
    """The largest exponent, in size, of the scales as powers of two."""
    return int(np.ceil(np.max(np.abs(np.log2(recurrence.d)))))
