"""Reflections whose product is an orthogonal matrix, or the nearest one."""

import numpy as np

from keras_urnn.parametrizations.base import Array
from keras_urnn.parametrizations.turns import most_turned


def reflections_of(Q: Array, count: int) -> tuple[Array, float]:
    """Unit vectors of reflections with a product near `Q`, and its largest error.

    The product `H_1 ... H_m` of vectors `u_k` that are zero before their entry `k`
    differs from the identity by a matrix of rank `m`. In a basis `B` of the `m`
    directions that `Q` turns most, `Q` is a matrix `C` there, and the nearest such
    product is `I + B (C - I) Bᵀ`. The basis is made triangular, and so are the vectors
    of `C` in it. Each step is stable: columns of `Q` itself, taken to those of the
    identity one by one, would lose digits wherever one is near.

    Args:
        Q: orthogonal array of shape `(n, n)` and determinant `(-1)^count`.
        count: integer in [1, n], the number `m` of reflections.

    Returns:
        The vectors, of shape `(n, count)`, and a `float`.
    """
    B = np.linalg.qr(most_turned(Q, count).T)[1].T
    left, _, right = np.linalg.svd(B.T @ Q @ B)
    C = left @ right
    rest = Q - np.eye(len(Q)) - B @ (C - np.eye(count)) @ B.T
    return B @ _all_reflections(C), float(np.max(np.abs(rest)))


def _all_reflections(C: Array) -> Array:
    """Unit vectors of as many reflections as `C` has columns, whose product it is.

    Each takes the next column to that of the unit matrix. An even number is left, by
    the determinant, where columns need none: they are the same one, and cancel.
    """
    m, rest, j = len(C), C.copy(), 0
    vectors = np.zeros((m, m))
    vectors[-1] = 1.0
    for k in range(m):
        u = rest[k:, k].copy()
        norm, others = np.linalg.norm(u), u[1:] @ u[1:]
        # u_k - ‖u‖ without cancellation
        u[0] = -others / (u[0] + norm) if u[0] > 0.0 else u[0] - norm
        if np.any(u):
            u /= np.linalg.norm(u)
            vectors[:, j] = np.pad(u, (k, 0))
            rest[k:] -= 2.0 * np.outer(u, u @ rest[k:])
            j += 1
    return vectors
