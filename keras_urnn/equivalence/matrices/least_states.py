"""Find scalings with many singular values at 1, whose dilation adds few states."""

import numpy as np
from numpy.typing import NDArray

from keras_urnn import _checks
from keras_urnn.equivalence.matrices.dilation import (
    dilate,
    dilates_but_for_rounding,
    norm_tolerance,
)
from keras_urnn.equivalence.matrices.obstructions import Obstruction
from keras_urnn.equivalence.matrices.scaled_matrices import (
    Scaling,
    checked_matrix,
    scale,
    similar,
)
from keras_urnn.equivalence.matrices.scaling import connected, find_scaling

Array = NDArray[np.float64]

SEARCHED = 32  # states up to which extreme points are searched
OBJECTIVES = 24  # how many random linear objectives are minimised for that
NEAR = 1e-4  # singular values this near to 1 are moved onto it


def added_states(matrix: Array, epsilon: float) -> int:
    """How many states the dilation of a matrix of norm at most 1 adds."""
    return dilate(matrix, epsilon).readout.shape[1]


def minimize_added_states(
    recurrent_matrix: Array, epsilon: float = 2.0**-52
) -> Scaling | Obstruction:
    """Find a scaling of norm at most 1 whose dilation adds few states.

    The dilation of `R_d = diag(1/d) R diag(d)` adds `r(d)` states, one for each
    singular value below 1. Each weakly connected component is scaled by itself, so
    that `r` adds up:

    - one state: `r = 1`, or 0 where its weight is 1 or -1;
    - a chain or a cycle (a weighted shift, however permuted): all weights but the
      necessary one become 1, so that `r = 1`, which is the least (0 for a cycle whose
      weights multiply to 1 or -1);
    - others: `r <= m - 1` for `m` states, always, since the norm grows without bound
      where one scale does, and passes 1. For up to 32 states extreme points of
      `{P diagonal: P - R P Rᵀ ⪰ 0}` are searched for more singular values at 1, under
      random linear objectives. The search is a heuristic; its result is verified.

    The scales aren't powers of two: scaling rounds each weight once more, which costs
    some 1e-7 relative in float32 for each, and up to 1e-5 in outputs. At norm 1 the
    states have no bound: take it from the scaling of `find_scaling`.

    Args:
        recurrent_matrix: float64 array of shape `(n, n)`, finite. The matrix `R`.
        epsilon: float. Machine epsilon of the precision that the scaled matrix will
            be stored in, as for `dilate`. Defaults to `2.0**-52`, float64's.

    Returns:
        A `Scaling` of norm at most 1 up to rounding, or an `Obstruction`.

    Raises:
        ValueError: when the matrix is not square, real and finite, or `epsilon` is not
            positive and finite.

    Example:
        import numpy as np

        shift = np.diag([3.0, 0.2, 7.0], k=1)
        ku.equivalence.minimize_added_states(shift).matrix  # three entries, all 1
    """
    recurrent_matrix = checked_matrix(recurrent_matrix)
    advice = "It is the distance of 1 from the next number of the precision."
    epsilon = _checks.positive_number("epsilon", epsilon, advice)
    d = np.ones(len(recurrent_matrix))
    for states in connected(recurrent_matrix, "weak"):
        found = _scale_connected(recurrent_matrix[np.ix_(states, states)], epsilon)
        if isinstance(found, Obstruction):
            return found.of_part(states, len(recurrent_matrix))
        d[states] = found.d
    return scale(recurrent_matrix, d)


def _scale_connected(R: Array, epsilon: float) -> Scaling | Obstruction:
    n = len(R)
    # The second is the accuracy of the computed singular values.
    limit = 1.0 + max(norm_tolerance(n, epsilon), 4.0 * n * 2.0**-52)
    if max((R != 0).sum(axis=0).max(), (R != 0).sum(axis=1).max()) <= 1:
        shift = scale(R, _unit_weights(R))
        if shift.norm <= limit:
            return shift
    start = find_scaling(R, below=limit)
    if isinstance(start, Obstruction) or n == 1:
        return start
    found = [start]
    if start.norm < 1.0:
        points = [_boundary(start), *_extreme_points(start.matrix)]
        for x in points:
            values = np.linalg.svd(similar(start.matrix, np.exp(x)), compute_uv=False)
            near = int(np.sum(values > 1.0 - NEAR))
            for count in range(max(near, 1), min(near + 2, n) + 1):
                moved = _moved_to_1(start.matrix, x, count)
                found.append(scale(R, start.d * np.exp(moved - moved.mean())))
    verified = [one for one in found if one.norm <= limit and _dilates(one, epsilon)]
    if not verified:
        return find_scaling(R, below=1.0 - norm_tolerance(n, epsilon))
    return min(verified, key=lambda one: _rank(one, epsilon))


def _dilates(found: Scaling, epsilon: float) -> bool:
    """Whether the dilation is orthogonal up to rounding, in these scales too."""
    unscaled = bool(np.all(found.d == 1.0))
    return unscaled or dilates_but_for_rounding(found.matrix, epsilon)


def _rank(found: Scaling, epsilon: float) -> tuple[bool, int]:
    """Norms that `to_unitary` allows come first, then the fewest added states."""
    beyond = found.norm > 1.0 + norm_tolerance(len(found.d), epsilon)
    return beyond, added_states(found.matrix, epsilon)


def _unit_weights(R: Array) -> Array:
    """Scales for which the weights along a chain are 1, or all but one of a cycle."""
    n = len(R)
    sources, targets = np.nonzero(R)
    after = dict(zip(sources.tolist(), targets.tolist(), strict=True))
    first = next((i for i in range(n) if i not in after.values()), 0)
    log_d, state = np.zeros(n), first
    for _ in range(n - 1):
        log_d[after[state]] = log_d[state] - np.log(abs(R[state, after[state]]))
        state = after[state]
    # The logarithms centre the scales. Quotients keep the digits that they would lose.
    d, state = np.ones(n), first
    d[first] = np.exp(log_d[first] - (log_d.max() + log_d.min()) / 2.0)
    for _ in range(n - 1):
        d[after[state]] = d[state] / abs(R[state, after[state]])
        state = after[state]
    return d


def _boundary(start: Scaling) -> Array:
    """`log d` of norm 1, where one scale alone has grown."""
    from scipy.optimize import brentq

    R = start.matrix
    off = np.abs(R - np.diag(np.diag(R)))
    column = int(np.argmax(off.max(axis=0)))
    direction = np.eye(len(R))[column]

    def log_norm(s: float) -> float:
        return np.log(np.linalg.norm(similar(R, np.exp(s * direction)), 2))

    # At this s a single weight is 2.
    return direction * brentq(log_norm, 0.0, np.log(2.0 / off.max()))


def _extreme_points(R: Array) -> list[Array]:
    """`log d` at the minima of random linear functions of `P = D²`."""
    n = len(R)
    generator = np.random.default_rng(0)
    count = OBJECTIVES if n <= SEARCHED else 0
    return [_minimum(R, generator.normal(size=n)) for _ in range(count)]


def _minimum(R: Array, objective: Array) -> Array:
    """Minimise `c·P` over `P - R P Rᵀ ⪰ 0`, `trace P = n`, by a barrier method."""
    n = len(R)
    p = np.ones(n)
    for sharpness in 4.0 ** np.arange(14):
        for _ in range(8):
            new, decrement = _newton_step(R, p, sharpness * objective)
            # Exact steps stay inside; near the boundary rounding leads out.
            if np.linalg.eigvalsh(_slack(R, new))[0] <= 0.0:
                return 0.5 * np.log(p)
            p = new
            if decrement < 1e-3:
                break
    return 0.5 * np.log(p)


def _slack(R: Array, p: Array) -> Array:
    return np.diag(p) - (R * p) @ R.T


def _newton_step(R: Array, p: Array, c: Array) -> tuple[Array, float]:
    """One damped step for `c·p - log det S`, `S = diag(p) - R diag(p) Rᵀ`."""
    n = len(p)
    T = np.linalg.inv(_slack(R, p))
    N = T @ R
    Q = R.T @ N
    gradient = c - np.diag(T) + np.diag(Q)
    hessian = T**2 - N**2 - N.T**2 + Q**2
    ones = np.ones((n, 1))
    system = np.block([[hessian, ones], [ones.T, np.zeros((1, 1))]])
    step = np.linalg.lstsq(system, np.append(-gradient, 0.0), rcond=None)[0][:n]
    # The length of the step in the metric of the Hessian; below 1 stays inside.
    decrement = float(np.sqrt(max(step @ hessian @ step, 0.0)))
    return p + step / (1.0 + decrement), decrement


def _moved_to_1(R: Array, x: Array, count: int) -> Array:
    """Newton's method for `count` singular values of `R_d` at 1, from `log d = x`.

    To first order `V ᵀ R_dᵀ R_d V` changes by `2 Σ_i (v_ia v_ib - u_ia u_ib) δx_i`.
    """
    rows, columns = np.triu_indices(count)
    for _ in range(12):
        u, sigma, vt = np.linalg.svd(similar(R, np.exp(x)))
        v = vt[:count].T
        jacobian = v[:, rows] * v[:, columns] - u[:, rows] * u[:, columns]
        defect = np.where(rows == columns, 0.5 * (1.0 - sigma[rows] ** 2), 0.0)
        step = np.linalg.lstsq(jacobian.T, defect, rcond=1e-10)[0]
        x = x + step / max(1.0, float(np.abs(step).max()))
    return x
