"""What an orthogonal matrix does, plane by plane."""

import numpy as np

from keras_urnn.parametrizations.base import Array

Turn = tuple[list[int], float]  # the columns of a basis, and the angle


def turns_of(matrix: Array) -> tuple[Array, list[Turn]]:
    """A basis, and by which angle the matrix turns each plane or line of it.

    From the real Schur form `Z T Zᵀ`: on the diagonal of `T` are rotations of planes,
    by angles in (-π, π), and numbers 1 and -1, whose lines count as turned by 0 and π.
    """
    import scipy.linalg

    T, Z = scipy.linalg.schur(matrix, output="real")
    turns: list[Turn] = []
    k = 0
    while k < len(T):
        if k + 1 < len(T) and T[k + 1, k] != 0.0:
            sine, cosine = T[k, k + 1] - T[k + 1, k], T[k, k] + T[k + 1, k + 1]
            turns.append(([k, k + 1], float(np.arctan2(sine, cosine))))
        else:
            turns.append(([k], np.pi if T[k, k] < 0.0 else 0.0))
        k += len(turns[-1][0])
    return Z, turns


def most_turned(matrix: Array, count: int) -> Array:
    """An orthonormal basis of `count` columns, that of the largest turns.

    Args:
        matrix: orthogonal array, of determinant `(-1)^count`, so that no plane is cut.
        count: integer.
    """
    Z, turns = turns_of(matrix)
    chosen: list[int] = []
    for columns, _ in sorted(turns, key=lambda turn: -abs(turn[1])):
        if len(chosen) + len(columns) <= count:
            chosen += columns
    return Z[:, chosen]
