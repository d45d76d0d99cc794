"""The controllable and observable part of a linear system, and its multiplicities."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from keras_urnn.theory.decisions import Decisions

Array = NDArray[np.float64]
ComplexArray = NDArray[np.complex128]

# A Jordan block of size k turns rounding eps into an error eps^(1/k) of its
# eigenvalues, whose mean stays accurate. Beyond 8 that is a tenth of the norm in
# float64: looking there would take unrelated eigenvalues together.
_LARGEST_BLOCK = 8


class Eigenvalue(NamedTuple):
    """An eigenvalue and the dimension of its eigenspace over the complex numbers."""

    value: complex
    multiplicity: int


def minimal_matrix(
    kernel: Array, matrix: Array, readout: Array, decisions: Decisions
) -> Array:
    """Return `A` of a minimal `(B, A, C)` with the same `B Aʲ C` for all `j >= 0`.

    Its size is the rank of the Hankel matrix of the `K Rʲ C`. The rows `K Rʲ` span
    the states that inputs reach; of these the columns `Aʲ C` span those that the
    outputs tell apart. Both spans are built step by step from orthonormal vectors:
    the powers themselves would be ranked by their size.
    """
    rows = _invariant_span(kernel, matrix, decisions, "controllable part")
    reached = rows @ matrix @ rows.T
    seen = rows @ readout
    columns = _invariant_span(seen.T, reached.T, decisions, "observable part").T
    return columns.T @ reached @ columns


def largest_multiplicity(matrix: Array, decisions: Decisions) -> Eigenvalue | None:
    """The eigenvalue inside the unit circle with the largest eigenspace, if any."""
    if not len(matrix):
        return None
    candidates = _candidates(matrix, decisions)
    gaps = 1.0 - np.abs(candidates)
    candidates = candidates[gaps > decisions.unit_tolerance]
    if not len(candidates):
        return None
    shifted = matrix - candidates[:, None, None] * np.eye(len(matrix))
    # Ascending: the first ones are those of the eigenspace.
    singular = np.linalg.svd(shifted, compute_uv=False)[:, ::-1]
    scale = float(np.linalg.norm(matrix, 2))
    nullities = (singular <= decisions.tolerance * scale).sum(axis=1)
    padded = np.pad(singular, ((0, 0), (0, 1)))
    following = np.take_along_axis(padded, nullities[:, None], axis=1)[:, 0]
    best = np.lexsort((following, -nullities))[0]
    if not nullities[best]:
        return None  # all of these are means of eigenvalues further out
    value = complex(candidates[best])
    decisions.above(singular[best], scale, f"eigenspace at {value:.3g}")
    decisions.doubt_gap(1.0 - abs(value), f"modulus of the eigenvalue {value:.3g}")
    return Eigenvalue(value, int(nullities[best]))


def _invariant_span(
    start: Array, matrix: Array, decisions: Decisions, what: str
) -> Array:
    """Return an orthonormal basis, as rows, of the span of the rows of `start @ Rʲ`."""
    lengths = np.linalg.norm(start, axis=1, keepdims=True)
    # A feature in other units is a feature still.
    block = start[lengths[:, 0] > 0.0] / lengths[lengths[:, 0] > 0.0]
    scale, norm = 1.0, float(np.linalg.norm(matrix, 2)) if matrix.size else 0.0
    basis = np.zeros((0, len(matrix)))
    while len(block) and len(basis) < len(matrix):
        for _ in range(2):  # once leaves rounding where most of a row is in the span
            block = block - block @ basis.T @ basis
        _, singular, directions = np.linalg.svd(block, full_matrices=False)
        block = directions[decisions.above(singular, scale, what)]
        basis = np.concatenate([basis, block])
        block, scale = block @ matrix, norm
    return basis


def _candidates(matrix: Array, decisions: Decisions) -> ComplexArray:
    """The eigenvalues, and the means of those that may be one, smeared by rounding."""
    eigenvalues = np.linalg.eigvals(matrix).astype(np.complex128)
    distances = np.abs(eigenvalues[:, None] - eigenvalues)
    scale = np.linalg.norm(matrix, 2)
    found = [eigenvalues]
    for size in range(1, min(len(matrix), _LARGEST_BLOCK) + 1):
        close = distances <= scale * decisions.tolerance ** (1.0 / size)
        found.append((close @ eigenvalues) / close.sum(axis=1))
    return np.unique(np.concatenate(found))
