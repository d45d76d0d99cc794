"""Positive scales of the states, and the recurrent matrix in scaled states."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from keras_urnn import _checks, _numbers

Array = NDArray[np.float64]

ROUNDINGS = 16  # how many roundings to powers of two are tried
LARGEST_EXPONENT = 500  # d², 1/d² and their products with weights stay finite


class Scaling(NamedTuple):
    """Positive scales of the states, and the matrix between scaled states.

    Attributes:
        d: array of shape `(n,)`. The scales; `h * d` is the scaled state.
        norm: float. The spectral norm of `matrix`.
        exact: bool. Whether all scales are powers of two and nothing underflows, so
            that scaling and unscaling give `R` back bit for bit.
        matrix: array of shape `(n, n)`. `R_d = diag(1/d) @ R @ diag(d)`.
    """

    d: Array
    norm: float
    exact: bool
    matrix: Array


def checked_matrix(recurrent_matrix: Any) -> Array:
    """Return a recurrent matrix in float64, or raise."""
    expected = "a square matrix of finite numbers"
    advice = "It is the matrix `R` of `h @ R`."
    matrix = _numbers.real_numbers(
        "recurrent_matrix", recurrent_matrix, expected, advice
    )
    if matrix.ndim != 2 or len(matrix) != matrix.shape[1] or matrix.size == 0:
        found = f"shape {matrix.shape}"
        raise _checks.error("recurrent_matrix", expected, found, advice)
    return matrix


def scale(recurrent_matrix: Array, d: Array) -> Scaling:
    """Return `R_d = diag(1/d) @ R @ diag(d)` with its norm."""
    matrix = similar(recurrent_matrix, d)
    powers = bool(np.all(np.frexp(d)[0] == 0.5))
    exact = powers and np.array_equal(similar(matrix, 1.0 / d), recurrent_matrix)
    return Scaling(d, spectral_norm(matrix), exact, matrix)


def similar(matrix: Array, d: Array) -> Array:
    """Return `diag(1/d) @ matrix @ diag(d)`."""
    with np.errstate(over="ignore", under="ignore"):
        # A single product with a ratio is exact for powers of two.
        return matrix * (d / d[:, None])


def spectral_norm(matrix: Array) -> float:
    """The largest singular value; infinite where an entry has overflowed."""
    return float(np.linalg.norm(matrix, 2)) if np.isfinite(matrix).all() else np.inf


def schur_test(matrix: Array, norm: float) -> Array | None:
    """The `log d` that gives a matrix of entries `>= 0` at most this norm.

    With `u = (λI - Aᵀ)⁻¹ 1` and `v = (λI - A)⁻¹ 1`, both positive where the spectral
    radius is below `λ`, the scales `d = sqrt(v / u)` give `‖diag(1/d) A diag(d)‖ <= λ`:
    `p = d u = v / d` is positive, `p A_d <= λ p` and `A_d pᵀ <= λ pᵀ`.

    `None` where the spectral radius isn't below `norm`: then the test says nothing.
    """
    resolvent = norm * np.eye(len(matrix)) - matrix
    try:
        u = np.linalg.solve(resolvent.T, np.ones(len(matrix)))
        v = np.linalg.solve(resolvent, np.ones(len(matrix)))
    except np.linalg.LinAlgError:
        return None
    # u > 0 with Aᵀ u < norm u proves that the spectral radius is below norm.
    if not (np.isfinite([u, v]).all() and min(u.min(), v.min()) > 0.0):
        return None
    return 0.5 * (np.log(v) - np.log(u))


def rounded(recurrent_matrix: Array, log_scales: Array, limit: float) -> list[Scaling]:
    """The scaling by `exp(log_scales)`, and the best of its roundings to powers of two.

    It is rounded only where its norm is below `limit`. The scales are centred: the
    largest is about the inverse of the smallest. There is none where they leave the
    range of float64.
    """
    x = log_scales - (log_scales.max() + log_scales.min()) / 2.0
    if x.max() > LARGEST_EXPONENT * np.log(2.0):
        return []
    generic = scale(recurrent_matrix, np.exp(x))
    if generic.norm >= limit:
        return [generic]
    powers = [np.ldexp(1.0, k) for k in _roundings(x / np.log(2.0))]
    norms = [spectral_norm(similar(recurrent_matrix, d)) for d in powers]
    return [generic, scale(recurrent_matrix, powers[int(np.argmin(norms))])]


def _roundings(exponents: Array) -> list[NDArray[np.int64]]:
    """Round up where the fractional part is above a threshold, for each threshold."""
    whole = np.floor(exponents)
    fractions = np.sort(exponents - whole)
    # A threshold at each fractional part, or at some of them, gives all roundings of
    # `exponents + constant`, or some.
    count = min(ROUNDINGS, len(fractions))
    picked = fractions[np.linspace(0, len(fractions) - 1, count).astype(int)]
    up = [exponents - whole > threshold for threshold in np.unique(picked)]
    return [(whole + one).astype(int) for one in up]
