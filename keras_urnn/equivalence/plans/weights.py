"""The weights of theorem 1: those of the cell, and what the added states need."""

from dataclasses import dataclass

import numpy as np

from keras_urnn.equivalence.matrices.dilation import dilate
from keras_urnn.equivalence.ranges.intervals import (
    MACHINE_EPSILON,
    SMALLEST_NORMAL,
    Array,
    Interval,
    as_stored,
    product_error,
    round_down,
)
from keras_urnn.equivalence.ranges.reachable_states import Recurrence
from keras_urnn.equivalence.ranges.rescaled_states import bounded_states


@dataclass(frozen=True, eq=False)
class UnitaryWeights:
    """The weights of the unitary cell that does what a contractive one does.

    Attributes:
        kernel: array of shape `(features, n + r)`.
        recurrent_matrix: orthogonal array of shape `(n + r, n + r)`.
        bias: array of shape `(n + r,)`.
        initial_state: array of shape `(n + r,)`.
        resting_state: array of shape `(n + r,)`, the centre of the step.
    """

    kernel: Array
    recurrent_matrix: Array
    bias: Array
    initial_state: Array
    resting_state: Array


def added_bias_bounds(
    recurrence: Recurrence,
    matrix: Array,
    entering: Interval,
    horizon: int | None,
    start: Interval | None = None,
) -> Array:
    """How far out on its half-line the bias of each added state must at least be.

    In the orthogonal `matrix` added state `j` sees `(h - centre) @ matrix[:n, j]` of
    the reachable states `h`, nothing of the input, and nothing of the added states
    while all of these rest, as the step is centred there. With the half-line
    `side z >= side edge` it stays there where

        side b_j >= side edge + sup -side (h - centre) @ matrix[:n, j].

    At least 0: no bias is made to switch an added state on where nothing is seen.
    """
    flat, n, dtype = recurrence.flat, recurrence.units, recurrence.dtype
    assert flat is not None  # `check_convertible` refuses the others
    states = bounded_states(recurrence, entering, horizon, start)
    seen = states.supremum(-flat.side * matrix[:n, n:])
    slack = product_error(dtype, len(matrix)) * abs(flat.edge)
    tiny = SMALLEST_NORMAL[dtype]
    return np.maximum(seen + flat.side * flat.edge + slack, 0.0) + tiny


def dilated_weights(
    recurrence: Recurrence,
    entering: Interval,
    horizon: int | None,
    start: Interval | None = None,
) -> UnitaryWeights:
    """Theorem 1: add `r` states that rest, for an orthogonal matrix.

    They send exact zeros to the others, as the step is centred where they rest.
    """
    flat, stored = recurrence.flat, recurrence.stored_dtype
    assert flat is not None  # `check_convertible` refuses the others
    dilation = dilate(recurrence.recurrent_matrix, MACHINE_EPSILON[stored])
    matrix = as_stored(dilation.matrix, stored)
    rest = np.full(len(matrix) - recurrence.units, flat.value)
    bounds = added_bias_bounds(recurrence, matrix, entering, horizon, start)
    # The certificate forms the same bound in another order of summation; 1e-12 is
    # more than that, and less than anything else. The bias is exact in the compute
    # dtype, so that no cast moves it back.
    bounds += 1e-12 * (bounds + abs(flat.edge))
    bias = -flat.side * round_down(-bounds, recurrence.dtype)
    return UnitaryWeights(
        kernel=np.pad(recurrence.kernel, ((0, 0), (0, len(rest)))),
        recurrent_matrix=matrix,
        bias=np.concatenate([recurrence.bias, bias]),
        initial_state=np.concatenate([recurrence.initial_state, rest]),
        resting_state=np.concatenate([recurrence.centre, rest]),
    )
