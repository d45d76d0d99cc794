"""Diagonal scaling of a recurrence: the scales in which theorem 1 applies to it."""

from dataclasses import replace

import numpy as np

from keras_urnn.equivalence.intervals import Array, as_stored, round_down
from keras_urnn.equivalence.obstructions import Obstruction
from keras_urnn.equivalence.reachable import Recurrence
from keras_urnn.equivalence.scales import similar
from keras_urnn.equivalence.scaling import find_scaling


def in_scale(recurrence: Recurrence, d: Array) -> Recurrence:
    """The same recurrence in scaled states `h∘d`, whatever scale it had.

    The recurrent matrix becomes `diag(1/d) @ R @ diag(d)`, as it can be stored: exact
    where `d` are powers of two.
    """
    matrix = similar(recurrence.recurrent_matrix, d / recurrence.d)
    stored = as_stored(matrix, recurrence.stored_dtype)
    return replace(recurrence, recurrent_matrix=stored, scale=d)


def admissible(recurrence: Recurrence, horizon: int | None) -> Recurrence | Obstruction:
    """The recurrence in scales in which its matrix is small enough for theorem 1.

    Below norm 1, or up to it where there is a horizon. As it is where that holds
    already, and where `φ(d z) = d φ(z)` doesn't, so that scales would change it.
    Otherwise what `find_scaling` finds, or why nothing is found.
    """
    tolerance = recurrence.tolerance
    below = 1.0 - tolerance if horizon is None else 1.0 + tolerance
    homogeneous = recurrence.flat is not None and recurrence.flat.homogeneous
    if recurrence.norm < below or not homogeneous:
        return recurrence
    found = find_scaling(recurrence.recurrent_matrix, below=below)
    if isinstance(found, Obstruction):
        return found
    d = found.d * recurrence.d
    # The cell computes with the scale as its dtype holds it.
    return in_scale(recurrence, -round_down(-d, recurrence.dtype))


def exponent_range(recurrence: Recurrence) -> int:
    """The largest power of two in a scale, up or down."""
    return int(np.ceil(np.max(np.abs(np.log2(recurrence.d)))))
