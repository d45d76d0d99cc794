"""Certificates that no diagonal scaling makes a matrix contractive."""

import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

ALL_SUBSETS = 10  # up to this size all principal submatrices are tried
# A norm this near to 1 is of no use: the added biases grow like 1 / (1 - norm).
WORTHLESS = 1e-9
LARGEST_GROWN = 8  # for larger matrices, the size up to which a pair is extended


class Obstruction(NamedTuple):
    """A lower bound on the norm of all scalings of a recurrent matrix `R`.

    Attributes:
        lower_bound: float. No scaling of `R` has a smaller norm. It is
            `norm_lower_bound(R, witness)`, a proof with its rounding included.
        best_norm: float. The least norm that was reached by a scaling of the strongly
            connected component that fails. The least norm of all scalings lies between
            the two.
        witness: array of shape `(m, n)`. The states that prove `lower_bound`; no rows
            where there is no proof.
        indices: tuple of int. The states of the principal submatrix that the bound is
            for; all states where it is for the whole matrix.
        eigenvalue: complex or `None`. The largest eigenvalue of the submatrix, where
            the bound is its modulus.
    """

    lower_bound: float
    best_norm: float
    witness: Array
    indices: tuple[int, ...]
    eigenvalue: complex | None = None

    @property
    def reason(self) -> str:
        """The bound in words, as a clause that says whether it is proved."""
        matrix = "the recurrent matrix"
        if len(self.indices) < self.witness.shape[1]:
            shown = ", ".join(str(index) for index in self.indices[:12])
            more = ", ..." if len(self.indices) > 12 else ""
            matrix = f"its principal submatrix of states {shown}{more}"
        if self.eigenvalue is not None:
            return (
                f"{matrix} has spectral radius {abs(self.eigenvalue):.6g} (eigenvalue "
                f"{_shown(self.eigenvalue)}), which no scaling changes and no norm is "
                f"below"
            )
        if len(self.witness):
            return (
                f"every diagonal scaling of {matrix} has spectral norm at least "
                f"{self.lower_bound:.6g} (proved by duality; the least one found is "
                f"{self.best_norm:.6g})"
            )
        return (
            f"no scaling of {matrix} within the range of float64 was found (the least "
            f"norm is {self.best_norm:.6g}; nothing is proved)"
        )

    def excludes(self, norm: float) -> bool:
        """Whether it is proved that no scaling is below `norm` by more than 1e-9."""
        return self.lower_bound >= norm * (1.0 - WORTHLESS)

    def of_part(self, states: NDArray[np.intp], n: int) -> "Obstruction":
        """The same for a matrix of `n` states that has this one at `states`."""
        witness = np.zeros((len(self.witness), n))
        witness[:, states] = self.witness
        indices = tuple(int(states[index]) for index in self.indices)
        return self._replace(witness=witness, indices=indices)


def _shown(value: complex) -> str:
    return f"{value.real:.6g}" if value.imag == 0.0 else f"{value:.6g}"


def norm_lower_bound(recurrent_matrix: Array, witness: Array) -> float:
    """A lower bound on `‖R_d‖` for all scalings `d`.

    Let the rows of `L` be states. Where one step of `h ↦ h @ R` leaves every unit at
    least `t` times its norm over these states, `‖(L R)_i‖ >= t ‖L_i‖` for each column
    `i`, no scaling has a norm below `t`: with `D = diag(d)` and `R_d = D⁻¹ R D`,

        ‖R_d‖² ‖L D‖² >= ‖(L D) R_d‖² = ‖(L R) D‖² = Σ d_i² ‖(L R)_i‖² >= t² ‖L D‖²

    in Frobenius norms. Conversely such an `L` exists for every `t` below the infimum
    (semidefinite duality). Real and imaginary part of an eigenvector `z R = λ z` give
    `|λ|`; columns of zeros restrict the statement to a principal submatrix.

    The largest error that rounding can have made in float64 (underflow apart) is
    taken off.

    Args:
        recurrent_matrix: float64 array of shape `(n, n)`, finite.
        witness: float64 array of shape `(m, n)`, finite. The states `L`.

    Returns:
        The largest such `t`, a float; 0.0 where `witness` is 0.
    """
    on = np.flatnonzero(witness.any(axis=0))
    L, R = witness[:, on], recurrent_matrix[np.ix_(on, on)]
    if not R.any():
        return 0.0
    # Scaled by powers of two, which change no digit, so that nothing overflows.
    exponent = int(np.frexp(np.abs(R).max())[1])
    R = np.ldexp(R, -exponent)
    L = np.ldexp(L, -int(np.frexp(np.abs(L).max())[1]))
    m, n = L.shape
    # |fl(x·y) - x·y| <= γ_n |x|·|y| for every order of summation, and a norm of m
    # numbers is accurate to (m + 2) ε. Here γ covers both, with a factor of 2 to spare.
    gamma = 2.0 * (n + m + 4) * 2.0**-53
    before = _column_norms(L)
    steps = _column_norms(L @ R) - gamma * _column_norms(np.abs(L) @ np.abs(R))
    t = float(np.min(steps / before)) * (1.0 - 2.0 * gamma)
    with np.errstate(over="ignore"):
        bound = float(np.ldexp(max(t, 0.0), exponent))
    return min(bound, float(np.finfo(np.float64).max))


def _column_norms(matrix: Array) -> Array:
    largest = np.maximum(np.abs(matrix).max(axis=0), np.finfo(np.float64).tiny)
    return largest * np.linalg.norm(matrix / largest, axis=0)


def by_eigenvalue(recurrent_matrix: Array, best_norm: float) -> Obstruction:
    """The bound by the largest eigenvalue of `R`, which no scaling changes."""
    return _by_part(recurrent_matrix, range(len(recurrent_matrix)), best_norm)


def by_principal_submatrix(recurrent_matrix: Array, best_norm: float) -> Obstruction:
    """The bound by the principal submatrix with the largest spectral radius.

    For up to 10 states all submatrices are tried. For more, the single states and the
    pairs are tried, and the best pair is extended by one state after the other.
    """
    n = len(recurrent_matrix)
    families = _all_subsets(n) if n <= ALL_SUBSETS else _grown(recurrent_matrix)
    best: tuple[float, NDArray[np.intp]] = (-1.0, np.arange(n))
    for family in families:
        radii = _radii(recurrent_matrix, family)
        # Of equal radii the smaller submatrix, which comes first, says more.
        if radii.max() > best[0] * (1.0 + 1e-9):
            best = (float(radii.max()), family[np.argmax(radii)])
    return _by_part(recurrent_matrix, best[1].tolist(), best_norm)


def _all_subsets(n: int) -> Iterator[NDArray[np.intp]]:
    for size in range(1, n + 1):
        yield np.array(list(itertools.combinations(range(n), size)), dtype=np.intp)


def _grown(recurrent_matrix: Array) -> Iterator[NDArray[np.intp]]:
    n = len(recurrent_matrix)
    yield np.arange(n)[:, None]
    family = np.stack(np.triu_indices(n, 1), axis=1)
    for _ in range(2, LARGEST_GROWN):
        yield family
        best = family[np.argmax(_radii(recurrent_matrix, family))]
        others = np.setdiff1d(np.arange(n), best)
        family = np.column_stack([np.tile(best, (len(others), 1)), others])
    yield family


def _radii(recurrent_matrix: Array, family: NDArray[np.intp]) -> Array:
    blocks = recurrent_matrix[family[:, :, None], family[:, None, :]]
    return np.abs(np.linalg.eigvals(blocks)).max(axis=1)


def _by_part(
    recurrent_matrix: Array, indices: Sequence[int], best_norm: float
) -> Obstruction:
    chosen = np.array(indices)
    block = recurrent_matrix[np.ix_(chosen, chosen)]
    values, vectors = np.linalg.eig(block.T)
    largest = int(np.argmax(np.abs(values)))
    z = vectors[:, largest]
    witness = np.zeros((2, len(recurrent_matrix)))
    witness[:, chosen] = z.real, z.imag
    bound = norm_lower_bound(recurrent_matrix, witness)
    states = tuple(chosen.tolist())
    return Obstruction(bound, best_norm, witness, states, complex(values[largest]))


def by_duality(
    recurrent_matrix: Array, witness: Array, best_norm: float
) -> Obstruction:
    """The bound by the dual of the search for the least norm; 0 without a witness."""
    bound = norm_lower_bound(recurrent_matrix, witness)
    states = tuple(range(len(recurrent_matrix)))
    return Obstruction(bound, best_norm, witness, states)
