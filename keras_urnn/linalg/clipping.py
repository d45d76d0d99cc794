"""Singular values clipped at a bound: the nearest matrix of at most that norm."""

import math
from functools import partial

from keras import ops

from keras_urnn import _backend
from keras_urnn._backend import matmul
from keras_urnn.linalg.derivatives import clip_derivative
from keras_urnn.linalg.iterations import (
    EPSILON,
    Tensor,
    frobenius,
    gram_defect,
    matrix_sign,
    newton_schulz,
    norm_bound,
    root_excess,
)
from keras_urnn.linalg.working_form import (
    divided,
    in_working_form,
    largest_entry,
    transpose,
)

# With this number of rows TensorFlow splits a product among threads that mostly wait
# for each other. There XLA compiles the clip by itself, although it does not compile
# the training step: a clip then takes half the time, and the first one a second or two
# more (CHANGELOG, 0.4.0). The bounds were chosen by hand. If the range is too wide, a
# clip of other sizes pays for the compilation and gains nothing.
_COMPILED_ROWS = range(97, 257)


def clip_singular_values(
    matrix: Tensor, max_norm: float, method: str = "auto"
) -> Tensor:
    """The nearest matrix of spectral norm at most `max_norm`.

    For the SVD `W = U Σ Vᵀ` this is `U min(Σ, max_norm) Vᵀ`, the nearest matrix of
    that norm in the Frobenius norm. It is computed as `W` minus the excess
    `U (Σ - max_norm)⁺ Vᵀ`, so that a matrix inside the ball is returned unchanged,
    bit for bit. A matrix with an entry that is not finite is returned as it is.

    If all singular values exceed `max_norm`, the result is `max_norm` times the polar
    factor, and as exact as that. If only some do, it is exact to `n ε ‖W‖`, as a
    backward-stable SVD is. Each method has the derivative of
    `derivatives.clip_derivative`.

    Args:
        matrix: tensor of shape `(..., rows, columns)`.
        max_norm: positive number, the largest spectral norm.
        method: `"newton_schulz"` and `"auto"` compute the excess by a matrix sign
            iteration, and by a second one far from the set: matrix products only.
            `"svd"` decomposes. Defaults to `"auto"`.

    Returns:
        A tensor of the shape and dtype of `matrix`.

    Reference:
        - Higham, Functions of Matrices, 2008, chapters 5 and 8
    """
    return _backend.call(
        _clip_singular_values,
        matrix,
        clip_derivative,
        xla=min(matrix.shape[-2:]) in _COMPILED_ROWS and method != "svd",
        max_norm=max_norm,
        method=method,
    )


def _clip_singular_values(matrix: Tensor, max_norm: float, method: str) -> Tensor:
    epsilon = EPSILON[ops.dtype(matrix)]
    clip = partial(_tall_clip, max_norm=max_norm, method=method, epsilon=epsilon)
    return in_working_form(clip, matrix)


def _tall_clip(x: Tensor, max_norm: float, method: str, epsilon: float) -> Tensor:
    excess, near = _near_excess(x / max_norm)
    if method == "svd":
        clipped = max_norm * _clip_from_afar(x, max_norm, method)
    else:
        clipped = ops.cond(
            ops.all(near),
            lambda: x - max_norm * excess,
            lambda: max_norm * _clip_from_afar(x, max_norm, method),
        )
    # What rounding leaves of the excess of a matrix on the set, with a factor of 2 that
    # was chosen by hand. With a smaller one a clipped matrix would change again when it
    # is clipped twice, with a larger one matrices outside the ball would be left there.
    # In half precision a clipped matrix is rounded once, from float32: its entries
    # change by `epsilon / 2` of themselves, to which half is added for the products.
    factor = 0.75 if epsilon > EPSILON["float32"] else 2.0
    rounding = factor * math.sqrt(x.shape[-1]) * epsilon
    inside = ops.logical_and(near, frobenius(excess) <= rounding)
    return ops.where(inside, x, clipped)


def _near_excess(x: Tensor) -> tuple[Tensor, Tensor]:
    """The excess `U (Σ - 1)⁺ Vᵀ`, and which matrices are near enough to the unit ball.

    By one sign iteration. `A = XᵀX - I` has an eigenvalue `e > 0` for each singular
    value `sqrt(1 + e)` above 1. With `A⁺ = (A + A sign(A)) / 2` the excess is
    `X (I - (I + A⁺)^(-1/2))`.
    """
    a = -gram_defect(x)
    return root_excess(x, 0.5 * (a + matmul(a, matrix_sign(a))))


def _clip_from_afar(x: Tensor, max_norm: float, method: str) -> Tensor:
    """`U min(Σ / max_norm, 1) Vᵀ` for singular values of any size.

    The excess is exact to rounding relative to ‖W‖. After it is subtracted, the large
    singular values are off by that much, so they are clipped a second time.
    """
    largest = largest_entry(x)
    x = divided(x, largest)
    norm = norm_bound(x)
    epsilon = EPSILON[ops.dtype(x)]
    # All bounds below rounding give the same result, but 0 and Inf would give NaN.
    bound = ops.clip(divided(max_norm, largest), epsilon**2, 1.0 / epsilon)
    split = _svd_split if method == "svd" else _polar_split
    whole, excess, is_whole = split(x, norm, bound)
    clipped = ops.where(is_whole, whole, (x - excess) / bound)
    if method == "svd":  # it is not exact enough, even near the set
        return _without_excess(clipped)
    return ops.cond(
        ops.any(norm > 2.0 * bound),
        lambda: _without_excess(clipped),
        lambda: clipped,
    )


def _without_excess(x: Tensor) -> Tensor:
    return x - _polar_split(x, norm_bound(x), 1.0)[1]


def _svd_split(x: Tensor, norm: Tensor, bound: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """`U min(Σ / bound, 1) Vᵀ`, `U (Σ - bound)⁺ Vᵀ`, and where to use the first.

    Close to the set `X` minus the excess has fewer roundings than a product of three
    factors. The factor of 2 that says what is close was chosen by hand.
    """
    u, sigma, vt = ops.svd(x, full_matrices=False)
    sigma = ops.expand_dims(sigma, -2)
    # Not `ops.minimum`, which returns float32 for float64 on PyTorch.
    whole = matmul(u * ops.where(sigma < bound, sigma / bound, 1.0), vt)
    return whole, matmul(u * ops.relu(sigma - bound), vt), norm > 2.0 * bound


def _polar_split(
    x: Tensor, norm: Tensor, bound: Tensor | float
) -> tuple[Tensor, Tensor, Tensor]:
    """The polar factor, `U (Σ - bound)⁺ Vᵀ`, and where all of `Σ` exceeds the bound.

    With the polar decomposition `X = P H` and `Y = H - bound I` the excess is
    `P Y⁺ = P (Y + sign(Y) Y) / 2`. All singular values exceed the bound if `sign(Y)` is
    `I`. Neither iteration has to converge for every singular value. If `P` has not
    converged for one, it is far below the bound and has no part in `Y⁺`. If `sign(Y)`
    has not converged for an eigenvalue, that eigenvalue is below rounding. If the bound
    is below rounding, nothing is known of the singular values next to it, and all count
    as above it.
    """
    polar, _ = newton_schulz(x / norm)
    h = matmul(transpose(polar), x)
    n = x.shape[-1]
    eye = ops.eye(n, dtype=x.dtype)
    y = 0.5 * (h + transpose(h)) - bound * eye
    sign, _ = newton_schulz(y / norm_bound(y))
    excess = 0.5 * matmul(polar, y + matmul(sign, y))
    is_whole = ops.logical_or(
        # A sign has the eigenvalues 1 and -1: it is I, or 2 away from it.
        frobenius(eye - sign) < 1.0,
        bound < 0.5 * n * EPSILON[ops.dtype(x)] * norm,
    )
    return polar, excess, is_whole
