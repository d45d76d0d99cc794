"""The least spectral norm of a matrix over its diagonal scalings, from both sides."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from keras_urnn.equivalence.matrices.obstructions import norm_lower_bound
from keras_urnn.equivalence.matrices.scaled_matrices import LARGEST_EXPONENT

Array = NDArray[np.float64]

DOUBLINGS = range(0, 20, 2)
LARGEST = LARGEST_EXPONENT * float(np.log(2.0))
# Where p is large the weights of some states are rounding errors only; without these
# states the bound is that of a principal submatrix.
SHARES = (0.0, 1e-12, 1e-9, 1e-6, 1e-3)


class Stage(NamedTuple):
    """A stage of the descent: `log d`, and a lower bound with its witness."""

    log_scales: Array
    lower_bound: float
    witness: Array


def descend(recurrent_matrix: Array, enough: float) -> Iterator[Stage]:
    """Lower `‖R_d‖` from `d = 1`, one stage for each Schatten norm.

    The logarithm of each unitarily invariant norm of `R_d = D⁻¹ R D` is convex in
    `x = log d` (three-lines theorem). So are the Schatten norms

        log ‖R_d‖_2p = log(Σ σ_k^2p) / 2p,   ∂/∂x_i = Σ_k w_k (v_ik² - u_ik²),

    `w_k = σ_k^2p / Σ σ^2p` with the singular vectors `u_k`, `v_k` of `R_d`, which are
    smooth as well, and no more than `log(n) / 2p` above the logarithm of the spectral
    norm. For `p = 3, 9, 33, ...` each is minimised by L-BFGS, started at the minimum
    of the one before. At a minimum `Σ w_k v_ik² = Σ w_k u_ik²` for each `i`, and then
    the states `Σ_k σ_k^p u_k` are a witness of a lower bound that is as near.

    Irreducible matrices have minima; others may send `x` to infinity. A stage ends
    once its norm is below `enough`.
    """
    from scipy.optimize import OptimizeResult, minimize

    n, goal = len(recurrent_matrix), np.log(enough)

    def stop(intermediate_result: OptimizeResult) -> None:
        # This stage's norm may be far above the spectral norm. The one for p = 33 is
        # not, 10 % for 512 states, but isn't computed where it can't be small enough.
        least = intermediate_result.fun - np.log(n) / (2 * _power(doublings))
        if (
            least < goal
            and log_schatten(signs, logs, intermediate_result.x, 4)[0] < goal
        ):
            raise StopIteration

    with np.errstate(divide="ignore"):
        logs = np.log(np.abs(recurrent_matrix))
    signs = np.sign(recurrent_matrix)
    x = last = np.zeros(n)
    for doublings in DOUBLINGS[: 10 if n <= 128 else 4]:
        # The minima approach their limit like 1/p, and p has become four times larger.
        start = x + (x - last) / 4.0 if doublings > 2 else x
        last = x
        x = minimize(
            lambda x, doublings=doublings: log_schatten(signs, logs, x, doublings)[:2],
            start,
            jac=True,
            method="L-BFGS-B",
            bounds=[(-LARGEST, LARGEST)] * n,
            callback=stop,
            options={"maxiter": 300, "maxcor": 20, "ftol": 1e-13, "gtol": 1e-9},
        ).x
        x = x - (x.max() + x.min()) / 2.0
        factor = log_schatten(signs, logs, x, doublings)[2]
        yield Stage(x, *_lower_bound(recurrent_matrix, x, factor))


def log_schatten(
    signs: Array, logs: Array, x: Array, doublings: int
) -> tuple[float, Array, Array]:
    """`log ‖R_d‖_2p` for `p = 2^(doublings + 1) + 1`, its gradient, and its factor.

    The factor `B = R_d (R_dᵀ R_d)^k`, `p = 2 k + 1`, holds what both need: the sum of
    the `σ^2p` is `‖B‖²`, and the sums of squares of its columns and rows are those of
    `σ^2p v²` and `σ^2p u²`. No singular value decomposition is needed.
    """
    exponents = logs + x - x[:, None]
    largest = exponents.max()
    scaled = signs * np.exp(exponents - largest)  # never overflows
    size = float(np.linalg.norm(scaled))
    scaled /= size
    power, log_power = scaled.T @ scaled, 0.0
    for _ in range(doublings):
        power = power @ power
        trace = float(np.trace(power))
        power /= trace
        log_power = 2.0 * log_power + np.log(trace)
    factor = scaled @ power
    squares = factor**2
    total = float(squares.sum())
    p = _power(doublings)
    value = (np.log(total) + 2.0 * log_power) / (2 * p) + np.log(size) + largest
    return value, (squares.sum(axis=0) - squares.sum(axis=1)) / total, factor


def _power(doublings: int) -> int:
    return 2 ** (doublings + 1) + 1


def _lower_bound(
    recurrent_matrix: Array, x: Array, factor: Array
) -> tuple[float, Array]:
    """The best lower bound that `B` is a witness of, in coordinates without scaling."""
    shares = (factor**2).sum(axis=1)
    witness = factor.T * np.exp(-x)
    bounds = []
    for share in SHARES:
        kept = witness * (shares > share * shares.max())
        bounds.append((norm_lower_bound(recurrent_matrix, kept), kept))
    return max(bounds, key=lambda pair: pair[0])
