"""The weights of theorem 1: those of the cell, and what the added states need."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from keras_urnn import _checks
from keras_urnn.equivalence.matrices.dilation import dilate
from keras_urnn.equivalence.plans.plan import draw_again, leave_unset
from keras_urnn.equivalence.ranges.cells import OUR_CELLS
from keras_urnn.equivalence.ranges.intervals import (
    MACHINE_EPSILON,
    SMALLEST_NORMAL,
    Array,
    Interval,
    as_stored,
    product_error,
    round_down,
    to_float64,
)
from keras_urnn.equivalence.ranges.recurrence import Recurrence
from keras_urnn.equivalence.ranges.rescaled_states import bounded_states
from keras_urnn.layers.unitary_rnn import UnitaryRNNCell
from keras_urnn.parametrizations import Parametrization, Projection

# How many dilations are tried for one that a parametrization can hold.
DILATIONS = 10


class CellWeights(NamedTuple):
    """The weights of a simple recurrent cell, by their names.

    Attributes:
        kernel: array of shape `(features, n)`.
        recurrent_matrix: array of shape `(n, n)`.
        bias: array of shape `(n,)`; `None` for a cell without.
        initial_state: array of shape `(n,)`; `None` for a cell that learns none.
    """

    kernel: Array
    recurrent_matrix: Array
    bias: Array | None
    initial_state: Array | None

    def set(self, cell: Any) -> None:
        """Set the weights of a built cell."""
        cell.kernel.assign(self.kernel)
        if isinstance(cell, OUR_CELLS):
            # Not `assign`: what is checked here was checked by the plan.
            cell.parametrization.set_matrix(self.recurrent_matrix)
        else:
            cell.recurrent_kernel.assign(self.recurrent_matrix)
        if self.bias is not None:
            cell.bias.assign(self.bias)
        if self.initial_state is not None:
            cell.learned_initial_state.assign(self.initial_state)


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
    parametrization: Parametrization | None = None,
) -> UnitaryWeights:
    """Theorem 1: add `r` states that rest, for an orthogonal matrix.

    They send exact zeros to the others, as the step is centred where they rest. A
    `parametrization` that computes its matrix from other weights gives the matrix of
    the theorem to rounding: the biases are those for the matrix that it gives.
    """
    flat, n, stored = recurrence.flat, recurrence.units, recurrence.stored_dtype
    assert flat is not None  # `check_convertible` refuses the others
    dilation = dilate(recurrence.recurrent_matrix, MACHINE_EPSILON[stored])
    matrix = given = as_stored(dilation.matrix, stored)
    if not keeps_matrix(parametrization):
        matrix = holdable(matrix, n, parametrization, stored)
        given = held(matrix, parametrization, stored)
        recurrence = replace(recurrence, recurrent_matrix=given[:n, :n])
    rest = np.full(len(matrix) - n, flat.value)
    bounds = added_bias_bounds(recurrence, given, entering, horizon, start)
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


def keeps_matrix(parametrization: Parametrization | None) -> bool:
    """Whether a parametrization stores the recurrent matrix itself; `None` does."""
    return parametrization is None or type(parametrization) is Projection


def holdable(matrix: Array, n: int, parametrization: Any, dtype: str) -> Array:
    """A dilation of the same corner that a parametrization can give, or raise.

    The rows of the added states may be multiplied by any orthogonal matrix: that
    leaves the corner, and the matrix orthogonal.
    """
    for factor in _factors(len(matrix) - n):
        found = np.vstack([matrix[:n], factor @ matrix[n:]])
        obstruction = parametrization.obstruction(found, dtype)
        if obstruction is None:
            return found
    expected = "one that can give the orthogonal matrix of the conversion"
    received = f"{type(parametrization).__name__}, which can't give {obstruction}"
    advice = "Leave its options at their defaults, or leave `parametrization` out."
    raise _checks.error("parametrization", expected, received, advice)


def _factors(r: int) -> Iterator[Array]:
    """Orthogonal matrices of `r` states: none moved, one reflected, random ones."""
    yield np.eye(r)
    if r > 0:
        yield np.diag([*np.ones(r - 1), -1.0])
        generator = np.random.default_rng(0)
        for _ in range(DILATIONS - 2):
            yield np.linalg.qr(generator.standard_normal((r, r)))[0]


def held(matrix: Array, parametrization: Any, dtype: str) -> Array:
    """The recurrent matrix of a cell that was given this one."""
    cell = UnitaryRNNCell(len(matrix), parametrization=parametrization, dtype=dtype)
    leave_unset(cell)
    cell.build((None, 1))
    draw_again(cell)
    cell.parametrization.set_matrix(matrix)
    return to_float64(cell.recurrent_matrix())
