"""An upper bound on the states that a unitary RNN with the same outputs needs."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from keras_urnn.equivalence.dilation import dilate, norm_tolerance
from keras_urnn.theory.decisions import Decisions, unit_tolerance
from keras_urnn.theory.kept_on import forgets_its_start
from keras_urnn.theory.system import System

Array = NDArray[np.float64]


class UpperBound(NamedTuple):
    """The states of a unitary RNN that can be built, or None, and why.

    Attributes:
        states: integer or None.
        reason: string.
        doubts: tuple of strings. Singular values that count as below 1 by little.
    """

    states: int | None
    reason: str
    doubts: tuple[str, ...] = ()


def upper_bound(system: System) -> UpperBound:
    """Count the states that the conversion of theorem 1 needs."""
    n, norm = system.units, float(np.linalg.norm(system.recurrent_matrix, 2))
    added = added_states(system.recurrent_matrix, system.epsilon)
    if added is None:
        return UpperBound(
            None,
            f"unknown: the recurrent matrix has spectral norm {norm:.6g}, above 1, so "
            "that it is no corner of an orthogonal matrix",
        )
    if added == 0:
        return UpperBound(n, "n: the recurrent matrix is orthogonal as it stands")
    reason = f"n + {added}: {added} singular values are below 1 (theorem 1)"
    reason = f"{reason}, for inputs within any bound"
    if not _is_bounded(system):
        reason = (
            f"{reason} and over any finite horizon: at norm {norm:.6g} the states may "
            "grow for ever"
        )
    return UpperBound(n + added, reason, _doubts(system))


def added_states(recurrent_matrix: Array, epsilon: float) -> int | None:
    """How many states the dilation adds, or None where there is none."""
    n = len(recurrent_matrix)
    if np.linalg.norm(recurrent_matrix, 2) > 1.0 + norm_tolerance(n, epsilon):
        return None
    return len(dilate(recurrent_matrix, epsilon).matrix) - n


def _is_bounded(system: System) -> bool:
    """Whether bounded inputs give bounded states, at all times.

    Where the start is forgotten they do. So they do where the spectral radius of
    `R⁺` is below 1, as `h_t <= h_{t-1} @ R⁺ + (x_t @ K + b)⁺` for ReLU.
    """
    positive = np.maximum(system.recurrent_matrix, 0.0)
    radius = np.max(np.abs(np.linalg.eigvals(positive)))
    tolerance = unit_tolerance(system.units, system.epsilon)
    return forgets_its_start(system) or bool(radius < 1.0 - tolerance)


def _doubts(system: System) -> tuple[str, ...]:
    decisions = Decisions(system.units, system.epsilon)
    for value in np.linalg.svd(system.recurrent_matrix, compute_uv=False):
        decisions.doubt_gap(1.0 - value, f"singular value {value:.6g}")
    return tuple(decisions.doubts)
