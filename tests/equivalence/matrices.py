"""Matrices for the tests of scaling, and the SDP that is their oracle."""

import warnings

import cvxpy as cp
import numpy as np
import numpy.typing as npt

from keras_urnn.equivalence.matrices.scaled_matrices import Scaling
from keras_urnn.equivalence.matrices.scaling import find_scaling

Array = npt.NDArray[np.float64]

AWAY = 1e-4  # least norms nearer to 1 than this are left out


def expansive(seed: int) -> Array:
    """Return a matrix of at most 16 states with spectral radius below 1 < norm.

    Dense, sparse, or block triangular in some order; a scaling spreads its entries.
    """
    generator = np.random.default_rng(seed)
    while True:
        n = int(generator.integers(2, 17))
        R = generator.normal(size=(n, n))
        if seed % 3 == 1:
            R *= generator.uniform(size=(n, n)) < 2.5 / n
        if seed % 3 == 2:
            R[: n // 2, n // 2 :] = 0.0
            order = generator.permutation(n)
            R = R[np.ix_(order, order)]
        R *= generator.uniform(0.3, 0.99) / max(np.abs(np.linalg.eigvals(R)).max(), 0.1)
        d = 10.0 ** generator.uniform(-1, 1, n)
        R = R * d / d[:, None]
        if np.linalg.norm(R, 2) > 1.0 > np.abs(np.linalg.eigvals(R)).max():
            return R


def has_scaling(R: Array, t: float) -> bool:
    """Whether the LMI `R P Rᵀ ⪯ t² P` has a diagonal solution `P ⪰ I`.

    What the solver returns is checked; its word alone is not taken for it.
    """
    p = cp.Variable(len(R))
    P = cp.diag(p)
    program = cp.Problem(
        cp.Minimize(cp.sum(p)), [t * t * P - R @ P @ R.T >> 0, p >= 1.0]
    )
    with warnings.catch_warnings():
        # What the solver is not sure of is checked below, too.
        warnings.filterwarnings("ignore", "Solution may be inaccurate")
        program.solve(solver=cp.CLARABEL)
    if p.value is None or p.value.min() <= 0.0:
        return False
    d = np.sqrt(p.value)
    # The solver is good to some 1e-8 of the largest entry of P.
    return bool(np.linalg.norm(R * d / d[:, None], 2) <= t * (1.0 + 1e-5))


def least_norm(R: Array, low: float, high: float) -> tuple[float, float]:
    """Bisect for the least norm, until it is known to `AWAY / 2`."""
    while high > low * (1.0 + AWAY / 2.0):
        middle = float(np.sqrt(low * high))
        if has_scaling(R, middle):
            high = middle
        else:
            low = middle
    return low, high


def check_against_sdp(seed: int) -> str:
    """Assert that we find a scaling where the SDP does; say what was found."""
    R = expansive(seed)
    low, high = 1.0 - AWAY, 1.0 + AWAY
    if has_scaling(R, low):
        found = find_scaling(R)
        assert isinstance(found, Scaling), (seed, found)
        assert np.linalg.norm(R * found.d / found.d[:, None], 2) < 1.0
        return "scaled exactly" if found.exact else "scaled"
    if has_scaling(R, high):
        return "left out"
    found = find_scaling(R)
    assert not isinstance(found, Scaling), seed
    assert found.excludes(1.0), (seed, found)
    return "excluded"
