"""An upper bound on the states that a unitary RNN with the same outputs needs."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from keras_urnn.equivalence.matrices.dilation import norm_tolerance
from keras_urnn.equivalence.matrices.least_states import (
    added_states,
    minimize_added_states,
)
from keras_urnn.equivalence.matrices.obstructions import Obstruction
from keras_urnn.equivalence.matrices.scaled_matrices import Scaling, spectral_norm
from keras_urnn.equivalence.matrices.scaling import find_scaling
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
    """Count the states that the conversion of theorem 1 needs, scaled or not."""
    n, R = system.units, system.recurrent_matrix
    scaled = minimize_added_states(R, system.epsilon)
    if isinstance(scaled, Obstruction):
        found = f"no positive scales of the states bring the norm to 1: {scaled.reason}"
        return UpperBound(None, f"unknown: {found}")
    matrix, where = scaled.matrix, ", in scales of the states that were searched for,"
    added = added_states(matrix, system.epsilon)
    if spectral_norm(R) <= 1.0 + norm_tolerance(n, system.epsilon):
        unscaled = added_states(R, system.epsilon)
        if unscaled <= added:
            matrix, added, where = R, unscaled, ""
    if added == 0:
        where = "as it stands" if matrix is R else "in scales that were searched for"
        return UpperBound(n, f"n: the recurrent matrix is orthogonal {where}")
    reason = f"n + {added}: {added} singular values are below 1{where} (theorem 1)"
    reason = f"{reason}, for inputs within any bound"
    if not _is_bounded(system):
        reason = (
            f"{reason} and over any finite horizon: at norm {spectral_norm(R):.6g} the "
            "states may grow for ever"
        )
    return UpperBound(n + added, reason, _doubts(matrix, system.epsilon))


def _is_bounded(system: System) -> bool:
    """Whether bounded inputs give bounded states, at all times.

    Where the start is forgotten they do. So they do where the spectral radius of
    `R⁺` is below 1, as `h_t <= h_{t-1} @ R⁺ + (x_t @ K + b)⁺` for ReLU, and where
    scales of the states give `R` a norm below 1.
    """
    positive = np.maximum(system.recurrent_matrix, 0.0)
    radius = np.max(np.abs(np.linalg.eigvals(positive)))
    below = 1.0 - unit_tolerance(system.units, system.epsilon)
    if forgets_its_start(system) or bool(radius < below):
        return True
    return isinstance(find_scaling(system.recurrent_matrix, below=below), Scaling)


def _doubts(matrix: Array, epsilon: float) -> tuple[str, ...]:
    decisions = Decisions(len(matrix), epsilon)
    for value in np.linalg.svd(matrix, compute_uv=False):
        decisions.doubt_gap(1.0 - value, f"singular value {value:.6g}")
    return tuple(decisions.doubts)
