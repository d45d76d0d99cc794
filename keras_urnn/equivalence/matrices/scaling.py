"""Diagonal scaling: positive scales of the states that make a matrix contractive."""

import itertools
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from keras_urnn import _checks
from keras_urnn.equivalence.matrices import obstructions
from keras_urnn.equivalence.matrices.least_norm import Stage, descend
from keras_urnn.equivalence.matrices.obstructions import WORTHLESS, Obstruction
from keras_urnn.equivalence.matrices.scaled_matrices import (
    LARGEST_EXPONENT,
    Scaling,
    checked_matrix,
    rounded,
    scale,
    schur_test,
    similar,
    spectral_norm,
)

Array = NDArray[np.float64]
Indices = NDArray[np.intp]


def find_scaling(
    recurrent_matrix: Array, target: float = 0.99, below: float = 1.0
) -> Scaling | Obstruction:
    """Find positive scales `d` with `‖diag(1/d) R diag(d)‖ < below`, or say why not.

    For an activation with `φ(c z) = c φ(z)`, `c > 0`, the scaled states `h * d` are
    those of an equivalent network with this recurrent matrix. Tried in this order:

    1. `d = 1`, taken wherever `‖R‖ < below` already;
    2. the Schur test, which finds a scaling wherever `|R|` has a spectral radius
       below `target`;
    3. the descent of `schatten.descend`, which ends on a certificate from either side.

    A matrix that isn't irreducible is taken apart into its strongly connected
    components; a Schur test on the norms of the blocks gives the scales between them.

    Of the scales that are found, powers of two come first: they scale without any
    rounding. Others are returned only where no rounding of them has a norm below
    `below`. The scales are centred: the largest is about the inverse of the smallest.

    So a rounding of norm 0.98 is preferred to a generic scaling of norm 0.85, although
    the bounds on the states are larger: exact outputs are worth more. As measured,
    rounding costs a factor of about 1.1 at n = 4 and 1.25 at n = 64, and a longer
    search isn't worth its time. Starting from the least norm, and not from the first
    below `target`, lowers the norm by at most 7 % where it is far below 1 already, and
    not at all where it is near 1. Changing single exponents gains another 1 %.

    Args:
        recurrent_matrix: float64 array of shape `(n, n)`, finite. The matrix `R`.
        target: float below `below`. The norm at which the search ends: the bounds on
            the states grow like `1 / (1 - norm)`. Defaults to `0.99`.
        below: float. What the norm must be below. Defaults to `1.0`.

    Returns:
        A `Scaling`, or an `Obstruction` where none was found.

    Raises:
        ValueError: when the matrix is not square, real and finite, or a norm is not
            positive and finite.

    Example:
        import numpy as np

        R = np.array([[0.5, 0.0], [5.0, 0.5]])  # norm 5.05
        ku.equivalence.find_scaling(R).norm  # 0.68
        print(ku.equivalence.find_scaling(R + R.T).reason)

    Reference:
        - Schur, 1911: the test
        - Boyd, El Ghaoui, Feron, Balakrishnan, Linear Matrix Inequalities, 1994,
          section 3.1: the problem in `D²`, and its dual
    """
    recurrent_matrix = checked_matrix(recurrent_matrix)
    advice = "It is compared with the spectral norm of the scaled matrix."
    target = _checks.positive_number("target", target, advice)
    below = _checks.positive_number("below", below, advice)
    unscaled = scale(recurrent_matrix, np.ones(len(recurrent_matrix)))
    if unscaled.norm < below:
        return unscaled
    components = connected(recurrent_matrix, "strong")
    for states in components:
        block = recurrent_matrix[np.ix_(states, states)]
        known = obstructions.by_eigenvalue(block, spectral_norm(block))
        if known.excludes(below):
            return known.of_part(states, len(recurrent_matrix))
    irreducible = len(components) == 1
    best, known = _search(recurrent_matrix, target, below, None if irreducible else 1)
    if irreducible or best.norm <= target:
        return best if best.norm < _limit(below) else known
    return _scale_components(recurrent_matrix, components, target, below)


def connected(recurrent_matrix: Array, connection: str) -> list[Indices]:
    """The states of each connected component, `connection` `"strong"` or `"weak"`."""
    from scipy.sparse.csgraph import connected_components

    graph = recurrent_matrix != 0.0
    count, labels = connected_components(graph, connection=connection)
    return [np.flatnonzero(labels == label) for label in range(count)]


def _limit(below: float) -> float:
    return below * (1.0 - WORTHLESS)


def _search(
    recurrent_matrix: Array, target: float, below: float, stages: int | None = None
) -> tuple[Scaling, Obstruction]:
    """Return the best scaling, and the strongest obstruction.

    Where the norm has no minimum the first stage goes to infinity, and more stages are
    of no use.
    """
    limit = _limit(below)
    best = scale(recurrent_matrix, np.ones(len(recurrent_matrix)))
    nothing = np.zeros((0, len(recurrent_matrix)))
    known = obstructions.by_duality(recurrent_matrix, nothing, best.norm)
    for stage in _attempts(recurrent_matrix, target, stages):
        candidates = (best, *rounded(recurrent_matrix, stage.log_scales, limit))
        best = min(candidates, key=lambda one: _rank(one, limit))
        if stage.lower_bound > known.lower_bound:
            known = obstructions.by_duality(recurrent_matrix, stage.witness, best.norm)
        reached = min(candidate.norm for candidate in candidates)
        # The norm is small enough, or as small as it can be.
        if reached <= max(target, known.lower_bound * (1.0 + WORTHLESS)):
            break
        if known.excludes(below):
            break
    if known.excludes(below):
        by_part = obstructions.by_principal_submatrix(recurrent_matrix, best.norm)
        known = by_part if by_part.excludes(below) else known
    return best, known._replace(best_norm=best.norm)


def _rank(found: Scaling, limit: float) -> tuple[bool, bool, float]:
    """Admissible scalings come first, among them exact ones, then the least norm."""
    return found.norm >= limit, not found.exact, found.norm


def _attempts(
    recurrent_matrix: Array, target: float, stages: int | None
) -> Iterator[Stage]:
    """Yield the result of the Schur test, then the stages of the descent."""
    tested = schur_test(np.abs(recurrent_matrix), target)
    if tested is not None:
        yield Stage(tested, 0.0, np.zeros((0, len(tested))))
    # Rounding costs at most a factor of 2, and seldom more than a factor of sqrt(2).
    descent = descend(recurrent_matrix, target / np.sqrt(2.0))
    yield from itertools.islice(descent, stages)


def _scale_components(
    recurrent_matrix: Array, components: list[Indices], target: float, below: float
) -> Scaling | Obstruction:
    """Scale each component, then the blocks between them."""
    n = len(recurrent_matrix)
    d, norms = np.ones(n), []
    for states in components:
        block = recurrent_matrix[np.ix_(states, states)]
        # Half of the margin is left for the blocks between the components.
        found, known = _search(block, 2.0 * target - below, below)
        if found.norm >= _limit(below):
            return known.of_part(states, n)
        d[states] = found.d
        norms.append(found.norm)
    norm = max(target, (max(norms) + below) / 2.0)
    exponents = _between(recurrent_matrix, d, components, norms, norm)
    if exponents is None:
        return obstructions.by_duality(recurrent_matrix, np.zeros((0, n)), norm)
    return scale(recurrent_matrix, d * np.ldexp(1.0, exponents))


def _between(
    recurrent_matrix: Array,
    d: Array,
    components: list[Indices],
    norms: list[float],
    norm: float,
) -> NDArray[np.int64] | None:
    """Powers of two by component that bring a scaled matrix to at most this norm."""
    # The norm of a matrix is at most that of the matrix of the norms of its blocks.
    # Rounding the scales at most doubles the blocks off the diagonal.
    between = _block_norms(similar(recurrent_matrix, d), components)
    blocks = np.diag(norms) + 2.0 * between
    tested = schur_test(blocks, norm) if np.isfinite(blocks).all() else None
    if tested is None:
        return None
    steps = np.round(tested / np.log(2.0))
    exponents = np.zeros(len(recurrent_matrix))
    for states, step in zip(components, steps, strict=True):
        exponents[states] = step
    total = exponents + np.log2(d)
    exponents -= np.round((total.max() + total.min()) / 2.0)
    if np.abs(exponents + np.log2(d)).max() > LARGEST_EXPONENT:
        return None
    return exponents.astype(int)


def _block_norms(matrix: Array, components: list[Indices]) -> Array:
    """The Frobenius norms of the blocks off the diagonal."""
    member = np.zeros((len(matrix), len(components)))
    for column, states in enumerate(components):
        member[states, column] = 1.0
    largest = max(float(np.abs(matrix).max()), float(np.finfo(np.float64).tiny))
    norms = largest * np.sqrt(member.T @ (matrix / largest) ** 2 @ member)
    return norms - np.diag(np.diag(norms))
