"""Layers of rotations of pairs of states, and the angles that give a matrix. In NumPy.

A rotation by `θ` of the states `a` and `b` maps `(h_a, h_b)` to
`(h_a cos θ - h_b sin θ, h_a sin θ + h_b cos θ)`. The rotations of a layer share no
state.
"""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


class Layer(NamedTuple):
    """Rotations of the pairs `(a, a + stride)`.

    Attributes:
        stride: integer.
        first: array of integers, the `a` of each pair.
    """

    stride: int
    first: npt.NDArray[np.intp]


class Decomposition(NamedTuple):
    """A matrix as a product of layers of rotations and of a diagonal of signs.

    Attributes:
        angles: array, those of all layers one after the other.
        signs: array of ±1.
        distance: the largest entry of what is left of the matrix.
    """

    angles: Array
    signs: Array
    distance: float


def neighbours(n: int, layers: int) -> list[Layer]:
    """Layers on the pairs (0, 1), (2, 3), ... and (1, 2), (3, 4), ... in turn."""
    return [Layer(1, np.arange(layer % 2, n - 1, 2)) for layer in range(layers)]


def butterflies(n: int) -> list[Layer]:
    """Layers on the pairs of states whose numbers differ in one binary digit.

    The highest digit comes first, as in an FFT. A state whose partner would be beyond
    the last one has none.
    """
    states, digits = np.arange(n), max(1, (n - 1).bit_length())
    strides = [2**digit for digit in reversed(range(digits))]
    return [
        Layer(stride, states[(states & stride == 0) & (states + stride < n)])
        for stride in strides
    ]


def decomposed(matrix: Array, layers: Sequence[Layer]) -> Decomposition:
    """The angles of the layers for an orthogonal matrix, and how far they miss it.

    The first layer, say `G`, is found from where the product of the others is zero:
    in row `a` of `Gᵀ R` outside of what the later layers mix `a` with. The two rows of
    a pair have such zeros in different columns, and the angle is the one that gives
    the best least-squares fit to both.
    """
    rest, angles = np.array(matrix, "float64"), [np.zeros(0)]
    for (stride, a), mixed in zip(layers, mixed_states(len(rest), layers), strict=True):
        b = a + stride
        weights = mixed[a].astype("float64") - mixed[b]
        aa, ab, bb = (
            np.sum(weights * one * other, axis=1)
            for one, other in ((rest[a], rest[a]), (rest[a], rest[b]), (rest[b],) * 2)
        )
        angle = -0.5 * np.arctan2(2.0 * ab, aa - bb)
        cos, sin = np.cos(angle)[:, None], np.sin(angle)[:, None]
        rest[a], rest[b] = cos * rest[a] - sin * rest[b], sin * rest[a] + cos * rest[b]
        angles.append(angle)
    signs = np.where(np.diag(rest) >= 0.0, 1.0, -1.0)
    distance = float(np.max(np.abs(rest - np.diag(signs))))
    return Decomposition(np.concatenate(angles), signs, distance)


def mixed_states(n: int, layers: Sequence[Layer]) -> list[npt.NDArray[np.bool_]]:
    """For each layer, which states the layers after it mix each state with."""
    found = [np.eye(n, dtype=bool)]
    for stride, a in reversed(layers[1:]):
        after = found[-1].copy()
        after[a] = after[a + stride] = found[-1][a] | found[-1][a + stride]
        found.append(after)
    return found[::-1] if layers else []


def completely_decomposed(matrix: Array) -> Decomposition:
    """The same for `n` layers of neighbours, which give every orthogonal matrix.

    Reference:
        - Clements et al., Optimal design for universal multiport interferometers, 2016
    """
    n, work = len(matrix), np.array(matrix, "float64").T
    first, last = [], []
    for row, column, by_rows in elimination_order(n):
        if by_rows:
            pair = slice(row - 1, row + 1)
            angle = _angle(work[row - 1, column], work[row, column])
            # To the left of the column both rows are zero already.
            work[pair, column:] = _rotation(-angle) @ work[pair, column:]
            last.append((row - 1, -angle))
        else:
            pair = slice(column, column + 2)
            angle = _angle(work[row, column + 1], work[row, column])
            work[: row + 1, pair] = work[: row + 1, pair] @ _rotation(-angle)
            first.append((column, -angle))
    signs = np.where(np.diag(work) >= 0.0, 1.0, -1.0)
    # D G(θ) = G(±θ) D: the signs move to the end of the product.
    moved = [(a, angle * signs[a] * signs[a + 1]) for a, angle in reversed(last)]
    distance = float(np.max(np.abs(work - np.diag(signs))))
    return Decomposition(in_layers(n, [*first, *moved]), signs, distance)


def elimination_order(n: int) -> Iterator[tuple[int, int, bool]]:
    """The entries below the diagonal in the order in which they become zero.

    One antidiagonal after the other, beginning in the lower left corner: up from the
    last row by rotations of columns, down to it by rotations of rows. With each entry
    comes whether rows are rotated.
    """
    for i in range(1, n):
        if i % 2:
            yield from ((n - 1 - j, i - 1 - j, False) for j in range(i))
        else:
            yield from ((n - i + j, j, True) for j in range(i))


def _angle(kept: float, removed: float) -> float:
    """The least angle of a rotation that makes the second of two numbers zero."""
    sign = math.copysign(1.0, kept)
    return -math.atan2(sign * removed, sign * kept)


def _rotation(angle: float) -> Array:
    cos, sin = math.cos(angle), math.sin(angle)
    return np.array([[cos, sin], [-sin, cos]])


def in_layers(n: int, rotations: Sequence[tuple[int, float]]) -> Array:
    """The angles of rotations of neighbours, each in the first layer that it fits in.

    Args:
        n: integer, the number of states and of layers.
        rotations: pairs of the first state and the angle, in the order of the product.
    """
    angles, free = np.zeros((n, n)), np.zeros(n, "int64")
    for a, angle in rotations:
        layer = max(free[a], free[a + 1])
        layer += (layer - a) % 2  # the layers of even numbers begin at state 0
        angles[layer, a], free[a : a + 2] = angle, layer + 1
    in_turn = [angles[k, layer.first] for k, layer in enumerate(neighbours(n, n))]
    return np.concatenate(in_turn)
