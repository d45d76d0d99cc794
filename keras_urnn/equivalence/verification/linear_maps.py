"""Whether two linear recurrences have the same outputs for all inputs, exactly.

To be equal up to rounding is not enough: a difference in the last digit of an
eigenvalue may show after a million steps. Stored weights are integer multiples of
powers of two, so that Python's integers hold all products of them exactly.
"""

from typing import Any, NamedTuple

import keras
import numpy as np

from keras_urnn.equivalence.ranges.intervals import Array
from keras_urnn.equivalence.ranges.recurrence import Recurrence

# The largest number of products of integers that are formed, which takes some seconds.
# Larger pairs of networks are not decided.
MOST = 1_000_000
# Weights whose exponents are further apart would need integers of too many digits.
WIDEST = 400


def same_linear_maps(
    recurrences: tuple[Recurrence, Recurrence],
    readouts: tuple[Array, Array],
    horizon: int | None,
) -> bool:
    """Whether two linear recurrences give the same outputs for all inputs, for ever.

    With the row `(h, 1)` as state, a step is `A = [[R, 0], [b, 1]]`, and the outputs at
    step `t` are `(h_0, 1) Aᵗ C` and, for each input, `(K, 0) Aʲ C` times that of `j`
    steps before. The difference of two such systems has `n + n' + 1` states: by
    Cayley and Hamilton it is zero for ever where it is zero for so many steps.

    Args:
        recurrences: the two, from their states at rest.
        readouts: for each the array `C`, of shape `(n, outputs)`.
        horizon: integer or `None`. How many steps count.

    Returns:
        `True` where they are; `False` also where they are not linear, are scaled or
        centred, or are too large to tell.
    """
    first, second = recurrences
    order = first.units + second.units + 1
    steps = order if horizon is None else min(order, horizon)
    cost = steps * (1 + len(first.kernel)) * (first.units**2 + second.units**2)
    arrays = [x for one in recurrences for x in _arrays(one)] + list(readouts)
    if (
        cost > MOST
        or first.kernel.shape[0] != second.kernel.shape[0]
        or not all(_is_plain(one) for one in recurrences)
        or not all(_is_narrow(array) for array in arrays)
    ):
        return False
    systems = [_System.of(*both) for both in zip(recurrences, readouts, strict=True)]
    for _ in range(steps):
        one, other = (system.outputs() for system in systems)
        if not all(map(_equal, one, other)):
            return False
        systems = [system.stepped() for system in systems]
    return True


def _arrays(recurrence: Recurrence) -> list[Array]:
    states = [recurrence.bias, recurrence.initial_state]
    return [recurrence.kernel, recurrence.recurrent_matrix, *states]


def _is_plain(recurrence: Recurrence) -> bool:
    linear = recurrence.activation is keras.activations.linear
    scaled = np.any(recurrence.d != 1.0) or np.any(recurrence.centre)
    return linear and not scaled


def _is_narrow(array: Array) -> bool:
    exponents = np.frexp(array[array != 0.0])[1]
    return bool(np.all(np.isfinite(array)) and np.ptp([0, *exponents]) <= WIDEST)


class _Exact(NamedTuple):
    """The numbers `digits * 2**exponent`, where `digits` are Python's integers."""

    digits: Any
    exponent: int

    @classmethod
    def of(cls, array: Array) -> "_Exact":
        mantissas, exponents = np.frexp(array)
        lowest = int(np.min(exponents, initial=0))
        shifted = np.frompyfunc(lambda m, e: int(m) << int(e), 2, 1)
        digits = shifted(np.ldexp(mantissas, 53), exponents - lowest)
        return cls(np.asarray(digits, dtype=object), lowest - 53)

    def times(self, other: "_Exact") -> "_Exact":
        return _Exact(self.digits @ other.digits, self.exponent + other.exponent)


class _System(NamedTuple):
    """A linear system, and the states that its inputs and its start have led to.

    Attributes:
        rows: the states after these steps, one row for each input, one for the start.
        matrix: `A`.
        readout: `C`, and zeros for the constant.
    """

    rows: list[_Exact]
    matrix: _Exact
    readout: _Exact

    @classmethod
    def of(cls, recurrence: Recurrence, readout: Array) -> "_System":
        n, one = recurrence.units, np.ones((1, 1))
        step = np.block(
            [
                [recurrence.recurrent_matrix, np.zeros((n, 1))],
                [recurrence.bias[None], one],
            ]
        )
        matrix = _Exact.of(step)
        inputs = _Exact.of(np.pad(recurrence.kernel, ((0, 0), (0, 1))))
        start = _Exact.of(np.append(recurrence.initial_state, 1.0)[None])
        seen = _Exact.of(np.pad(readout, ((0, 1), (0, 0))))
        # The first output is that of the state behind the first step.
        return cls([inputs, start.times(matrix)], matrix, seen)

    def outputs(self) -> list[_Exact]:
        return [row.times(self.readout) for row in self.rows]

    def stepped(self) -> "_System":
        return self._replace(rows=[row.times(self.matrix) for row in self.rows])


def _equal(one: _Exact, other: _Exact) -> bool:
    lowest = min(one.exponent, other.exponent)
    digits = [x.digits * 2 ** (x.exponent - lowest) for x in (one, other)]
    return digits[0].shape == digits[1].shape and bool(np.all(digits[0] == digits[1]))
