"""The exponential of a skew-symmetric or -Hermitian matrix, by matrix products."""

import math

from keras import ops

from keras_urnn._backend import full_precision
from keras_urnn._backend.loops import scan
from keras_urnn.linalg.complex_matrices import adjoint, identity_like, product
from keras_urnn.linalg.iterations import Tensor

# The Taylor polynomial takes matrices of this norm. Its first term that is left out is
# then 5e-9 in float32 and 2e-17 in float64, a tenth of the rounding of `exp(A) - I`.
_RADIUS = 0.5
_DEGREES = {"float32": 8, "float64": 14}

# `A` is halved as long as its norm is above the next of these. The angles of a matrix
# whose norm is above the last, 524,288, have no digit in float32.
_LIMITS = [_RADIUS * 2.0**k for k in range(21)]

# A squaring doubles the distance from the orthogonal matrices. After five the distance
# is some 32 roundings, whose square, which a correction leaves, is below a rounding.
_SQUARINGS_PER_CORRECTION = 5


def skew_exponential(a: Tensor) -> Tensor:
    """`exp(A)` of a skew-symmetric or -Hermitian `A`: a rotation or unitary matrix.

    By scaling and squaring: with `E = exp(A / 2^s) - I` by its Taylor polynomial, each
    of the `s` squarings is `E ← 2E + E²`, and the result is `I + E`. As the unit matrix
    is added last, the angles keep their digits: squaring `exp(A / 2^s)` itself would
    double the rounding of the small ones each time. Newton-Schulz steps in between keep
    `I + E` orthogonal.

    The number of squarings depends on the numbers. The operations do not, so that they
    can be compiled and have all derivatives. A matrix of norm above 524,288 is scaled
    down to that norm: the result is another rotation.

    Args:
        a: tensor of float32 or float64. A skew-symmetric matrix of shape `(n, n)`, or
            `[B | C]` of shape `(n, 2n)` of a skew-Hermitian `B + iC`.

    Returns:
        A tensor of the same shape and dtype.

    Reference:
        - Higham, The scaling and squaring method for the matrix exponential revisited,
          2005
    """
    with full_precision():
        scale, is_needed = _scaling(a)
        e = _taylor(a * scale, _DEGREES[ops.dtype(a)])
        rounds = ops.reshape(is_needed[:-1], (-1, _SQUARINGS_PER_CORRECTION))
        e, _ = scan(_squared, e, [rounds], outputs=0, inner=True)
    return identity_like(a) + e


def _scaling(a: Tensor) -> tuple[Tensor, Tensor]:
    """The power of two that `A` is multiplied by, and which squarings undo it."""
    # The largest sum of a row bounds the norm; for `[B | C]`, that of the embedding.
    norm = ops.stop_gradient(ops.max(ops.sum(ops.abs(a), axis=-1)))
    limits = ops.convert_to_tensor(_LIMITS, dtype=a.dtype)
    is_needed = norm > limits
    halved = ops.where(is_needed, 0.5 * _RADIUS / limits, ops.ones_like(limits))
    return ops.where(is_needed[-1], _RADIUS / norm, ops.min(halved)), is_needed


def _taylor(a: Tensor, degree: int) -> Tensor:
    """`A + A²/2! + ... + A^degree/degree!`, by about `2 sqrt(degree)` products.

    Reference:
        - Paterson and Stockmeyer, On the number of nonscalar multiplications, 1973
    """
    size = math.isqrt(degree) + 1
    powers = [identity_like(a), a]
    while len(powers) <= size:
        powers.append(product(powers[-1], a))
    coefficients = [0.0, *(1.0 / math.factorial(k) for k in range(1, degree + 1))]
    found = ops.zeros_like(a)
    for first in reversed(range(0, degree + 1, size)):
        found = product(found, powers[size])
        for power, c in zip(powers, coefficients[first : first + size], strict=False):
            found = found + c * power
    return found


def _squared(e: Tensor, rounds: tuple[Tensor]) -> tuple[Tensor, tuple[()]]:
    """`E` after five squarings, those that are needed, and a correction."""
    (are_needed,) = rounds
    for k in range(_SQUARINGS_PER_CORRECTION):
        e = ops.where(are_needed[k], 2.0 * e + product(e, e), e)
    return _corrected(e), ()


def _corrected(e: Tensor) -> Tensor:
    """A Newton-Schulz step of `Q = I + E`, which is `Q + Q (I - QᴴQ) / 2`, less `I`."""
    transposed = adjoint(e)
    defect = -(e + transposed + product(transposed, e))
    return e + 0.5 * (defect + product(e, defect))
