"""Layers of complex rotations, and the angles and phases that give a matrix. In NumPy.

A rotation by `θ` and `φ` of the states `a` and `b` maps `(h_a, h_b)` to
`(u cos θ - h_b sin θ, u sin θ + h_b cos θ)` with `u = exp(iφ) h_a`. The pairs of a
layer are those of `rotations`.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from keras_urnn.parametrizations.rotations import (
    Layer,
    elimination_order,
    in_layers,
    mixed_states,
)

Array = npt.NDArray[np.float64]
Complex = npt.NDArray[np.complex128]


class ComplexDecomposition(NamedTuple):
    """A matrix as a product of layers of rotations and of a diagonal of phases.

    Attributes:
        angles: array of two rows, the `θ` and the `φ` of all layers one after the
            other.
        phases: array, the angles `ω` of the diagonal `exp(iω)`.
        distance: the largest modulus of what is left of the matrix.
    """

    angles: Array
    phases: Array
    distance: float


def decomposed(matrix: Complex, layers: Sequence[Layer]) -> ComplexDecomposition:
    """The angles of the layers for a unitary matrix, and how far they miss it.

    The first layer, say `G`, is found from where the product of the others is zero, as
    that of a real matrix: in the rows `a` and `b` of `Gᴴ R` outside of what the later
    layers mix `a`, or `b`, with. The phase is the one that lets `θ` fit best. A phase
    that is left in a row is one of the next layers', and of the diagonal in the end.
    """
    rest, found = np.array(matrix, "complex128"), [np.zeros((2, 0))]
    for (stride, a), mixed in zip(layers, mixed_states(len(rest), layers), strict=True):
        b = a + stride
        weights = mixed[a].astype("float64") - mixed[b]
        aa, bb = (np.sum(weights * np.abs(rest[i]) ** 2, axis=1) for i in (a, b))
        ab = np.sum(weights * rest[a] * rest[b].conj(), axis=1)
        phase, angle = np.angle(ab), -0.5 * np.arctan2(2.0 * np.abs(ab), aa - bb)
        cos, sin = np.cos(angle)[:, None], np.sin(angle)[:, None]
        first = np.exp(-1j * phase)[:, None] * rest[a]
        rest[a], rest[b] = cos * first - sin * rest[b], sin * first + cos * rest[b]
        found.append(np.array([angle, phase]))
    return ComplexDecomposition(
        np.concatenate(found, axis=1), np.angle(np.diag(rest)), _off_diagonal(rest)
    )


def completely_decomposed(matrix: Complex) -> ComplexDecomposition:
    """The same for `n` layers of neighbours, which give every unitary matrix.

    Reference:
        - Clements et al., Optimal design for universal multiport interferometers, 2016
    """
    n, work = len(matrix), np.array(matrix, "complex128").T
    first, last = [], []
    for row, column, by_rows in elimination_order(n):
        if by_rows:
            pair = slice(row - 1, row + 1)
            kept, removed = work[pair, column]
            angle, phase = _angles(kept, -removed)
            # To the left of the column both rows are zero already.
            work[pair, column:] = _rotation(angle, phase).T @ work[pair, column:]
            last.append((row - 1, angle, phase))
        else:
            pair = slice(column, column + 2)
            removed, kept = work[row, pair]
            angle, phase = _angles(kept, removed)
            back = _rotation(angle, phase).conj()
            work[: row + 1, pair] = work[: row + 1, pair] @ back
            first.append((column, angle, phase))
    moved, phases = _moved(last, np.angle(np.diag(work)))
    rotations = [*first, *moved]
    angles = [in_layers(n, [(one[0], one[i]) for one in rotations]) for i in (1, 2)]
    return ComplexDecomposition(np.array(angles), phases, _off_diagonal(work))


Rotation = tuple[int, float, float]  # the first state, `θ` and `φ`


def _moved(
    rotations: Sequence[Rotation], phases: Array
) -> tuple[list[Rotation], Array]:
    """Rotations that were taken off from the end, as those before the diagonal.

    `D G(θ, φ)ᴴ = G(-θ, φ') D'` in the transposed order, where `φ'` is the difference of
    the two phases in `D`: the diagonal moves to the end of the product.
    """
    phases, found = phases.copy(), []
    for a, angle, phase in reversed(rotations):
        found.append((a, -angle, _wrapped(phases[a] - phases[a + 1])))
        phases[a] = _wrapped(phases[a + 1] - phase)
    return found, phases


def _angles(kept: complex, removed: complex) -> tuple[float, float]:
    """The `θ` and `φ` of a rotation that makes the second of two numbers zero."""
    quotient = removed * kept.conjugate()
    phase = float(np.angle(quotient)) if quotient else 0.0
    return math.atan2(abs(removed), abs(kept)), phase


def _rotation(angle: float, phase: float) -> Complex:
    cos, sin, turn = math.cos(angle), math.sin(angle), np.exp(1j * phase)
    return np.array([[turn * cos, turn * sin], [-sin, cos]])


def _wrapped(angle: float) -> float:
    """The same angle in [-π, π]."""
    return math.remainder(angle, 2.0 * math.pi)


def _off_diagonal(rest: Complex) -> float:
    """The distance from a diagonal of phases."""
    diagonal = np.exp(1j * np.angle(np.diag(rest)))
    return float(np.max(np.abs(rest - np.diag(diagonal))))
