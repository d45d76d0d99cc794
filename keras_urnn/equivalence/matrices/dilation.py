"""Theorem 1 for one matrix: a contraction as the corner of an orthogonal matrix."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Dilation(NamedTuple):
    """An orthogonal matrix, and the readout of its added states.

    Attributes:
        matrix: array of shape `(n + r, n + r)`. Orthogonal; its first `n` rows and
            columns are the contraction itself, bit for bit.
        readout: array of shape `(n, r)`. Column `i` is `s_i q_i`: added state `i`
            sees `h @ readout[:, i]` of the first `n` states. It is the block of
            `matrix` above the added states.
    """

    matrix: Array
    readout: Array


def norm_tolerance(n: int, epsilon: float) -> float:
    """How far from 1 rounding may put the norm of an orthogonal matrix.

    The entries of an orthogonal `n x n` matrix stored with machine epsilon
    `epsilon`, and computed by a QR or an SVD in that precision, move its singular
    values by up to about `√n epsilon` (measured: 1.4e-6 at n = 512 in float32). A norm
    within twice that distance of 1 counts as 1.
    """
    return 2.0 * float(np.sqrt(n)) * epsilon


def is_orthogonal_but_for_rounding(matrix: Array, epsilon: float) -> bool:
    """Whether relative rounding of the entries explains `U Uᵀ - I`.

    Entry by entry, `|U Uᵀ - I| <= 8 √n epsilon |U| |U|ᵀ` plus the error of an SVD in
    float64. In scaled states a small entry can stand for a large weight, and is then no
    rounding: `[[1, δ], [0, 1]]` is nearly orthogonal for any small `δ`, and it is
    `[[1, 1], [0, 1]]` in other scales, which is far from orthogonal.
    """
    size = np.abs(matrix) @ np.abs(matrix).T
    defect = np.abs(matrix @ matrix.T - np.eye(len(matrix)))
    n = len(matrix)
    allowed = 8.0 * float(np.sqrt(n)) * epsilon * size + 16.0 * n * 2.0**-52
    return bool(np.all(defect <= allowed))


def dilates_but_for_rounding(recurrent_matrix: Array, epsilon: float) -> bool:
    """Whether the dilation of a scaled matrix is orthogonal up to rounding."""
    matrix = dilate(recurrent_matrix, epsilon).matrix
    return is_orthogonal_but_for_rounding(matrix, epsilon)


def dilate(recurrent_matrix: Array, epsilon: float = 0.0) -> Dilation:
    """Return an orthogonal matrix with `recurrent_matrix` in its corner.

    In row-vector convention the state is `h @ R`, `R = Wᵀ` for the paper's `W`.
    With the singular value decomposition `R = Q Σ Pᵀ`, the `r` singular values
    `σ_i` below 1, their singular vectors `q_i`, `p_i` as the columns of `Q_r`,
    `P_r`, and `S = sqrt((I - Σ_r)(I + Σ_r))`,

        U = [[R,      Q_r S ],
             [S P_rᵀ, -Σ_r  ]]

    is orthogonal: the Halmos dilation of `R` without the columns that would be
    zero. `r = rank(I - RᵀR)` is the least number of states that can be added. `R` is
    copied into the corner, never recomposed from its factors, and `U` is not
    projected afterwards: either would change `R`.

    A singular value counts as 1 when rounding alone can have kept it from 1: when it
    differs from 1 by less than `norm_tolerance(n, epsilon)` and by less than 4e-7, so
    that leaving its state out costs less than 1e-6 of unitarity. Values above 1 by
    rounding count as 1. With the default 0 only values of at least 1 do.

    Args:
        recurrent_matrix: float64 array of shape `(n, n)`, finite, with norm at most 1
            up to rounding. The recurrent matrix `R`.
        epsilon: float. Machine epsilon of the precision that `recurrent_matrix` was
            stored in. Defaults to `0.0`: the entries are exact.

    Returns:
        A `Dilation` of size `n + r <= 2 n`.

    Reference:
        - [Emami et al., 2019](https://arxiv.org/abs/1910.13672), Theorem 1
        - Halmos, 1950, "Normal dilations and extensions of operators"
    """
    n = len(recurrent_matrix)
    q, sigma, p_transposed = np.linalg.svd(recurrent_matrix)
    below = 1.0 - sigma > min(norm_tolerance(n, epsilon), 4e-7)
    sigma = sigma[below]
    # (1 - σ)(1 + σ) keeps the digits that 1 - σ² loses near 1.
    s = np.sqrt((1.0 - sigma) * (1.0 + sigma))
    readout = q[:, below] * s
    matrix = np.block(
        [
            [recurrent_matrix, readout],
            [s[:, None] * p_transposed[below], -np.diag(sigma)],
        ]
    )
    return Dilation(matrix, readout)
