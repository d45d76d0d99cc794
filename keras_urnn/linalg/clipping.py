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

# Of so many rows TensorFlow shares a product among threads that mostly wait for each
# other. A clip by XLA takes half as long then, and a second or two to compile.
_SHARED = range(97, 257)


def clip_singular_values(
    matrix: Tensor, max_norm: float, method: str = "auto"
) -> Tensor:
    """The nearest matrix of spectral norm at most `max_norm`.

    For the SVD `W = U Σ Vᵀ` this is `U min(Σ, max_norm) Vᵀ`, the nearest matrix of
    that norm in the Frobenius norm. It is computed as `W` less what stands out,
    `U (Σ - max_norm)⁺ Vᵀ`, so that a matrix inside the ball is returned unchanged,
    bit for bit. One with an entry that is not finite is returned as it is.

    Where all singular values stand out it is `max_norm` times the polar factor, and as
    exact as that. Where only some do, it is exact to `n ε ‖W‖`, as a backward-stable
    SVD is. The derivative is that of `derivatives.clip_derivative`, whatever the
    method.

    Args:
        matrix: tensor of shape `(..., rows, columns)`.
        max_norm: positive number, the largest spectral norm.
        method: `"newton_schulz"` and `"auto"` find what stands out by a matrix sign
            iteration, and a second one far from the set: matrix products only. `"svd"`
            decomposes. Defaults to `"auto"`.

    Returns:
        A tensor of the shape and dtype of `matrix`.

    Reference:
        - Higham, Functions of Matrices, 2008, chapters 5 and 8
    """
    return _backend.call(
        _clip_singular_values,
        matrix,
        clip_derivative,
        xla=min(matrix.shape[-2:]) in _SHARED and method != "svd",
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
    rounding = 2.0 * math.sqrt(x.shape[-1]) * epsilon
    inside = ops.logical_and(near, frobenius(excess) <= rounding)
    return ops.where(inside, x, clipped)


def _near_excess(x: Tensor) -> tuple[Tensor, Tensor]:
    """`U (Σ - 1)⁺ Vᵀ` near the unit ball, by one sign iteration; and which are near.

    `A = XᵀX - I` has an eigenvalue `e > 0` for each singular value `sqrt(1 + e)` that
    stands out. With `A⁺ = (A + A sign(A)) / 2` what stands out is that of the polar
    factor of a matrix whose `XᵀX` is `I + A⁺`.
    """
    a = -gram_defect(x)
    return root_excess(x, 0.5 * (a + matmul(a, matrix_sign(a))))


def _clip_from_afar(x: Tensor, max_norm: float, method: str) -> Tensor:
    """`U min(Σ / max_norm, 1) Vᵀ` for singular values of any size.

    What stands out is known to rounding relative to ‖W‖ only. Taken from `W` it leaves
    that much of the large singular values, so they are clipped a second time.
    """
    largest = largest_entry(x)
    x = divided(x, largest)
    norm = norm_bound(x)
    epsilon = EPSILON[ops.dtype(x)]
    # All bounds below rounding give the same; 0, or Inf, would give NaN.
    bound = ops.clip(divided(max_norm, largest), epsilon**2, 1.0 / epsilon)
    split = _svd_split if method == "svd" else _polar_split
    whole, excess, is_whole = split(x, norm, bound)
    clipped = ops.where(is_whole, whole, (x - excess) / bound)
    if method == "svd":  # not exact enough even near the set
        return _without_excess(clipped)
    return ops.cond(
        ops.any(norm > 2.0 * bound),
        lambda: _without_excess(clipped),
        lambda: clipped,
    )


def _without_excess(x: Tensor) -> Tensor:
    return x - _polar_split(x, norm_bound(x), 1.0)[1]


def _svd_split(x: Tensor, norm: Tensor, bound: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """`U min(Σ / bound, 1) Vᵀ`, `U (Σ - bound)⁺ Vᵀ`, and where the first is to be used.

    Close to the set what is left of `X` has fewer roundings than a product.
    """
    u, sigma, vt = ops.svd(x, full_matrices=False)
    sigma = ops.expand_dims(sigma, -2)
    # Not `ops.minimum`: on PyTorch it returns float32 for float64.
    whole = matmul(u * ops.where(sigma < bound, sigma / bound, 1.0), vt)
    return whole, matmul(u * ops.relu(sigma - bound), vt), norm > 2.0 * bound


def _polar_split(
    x: Tensor, norm: Tensor, bound: Tensor | float
) -> tuple[Tensor, Tensor, Tensor]:
    """The polar factor, `U (Σ - bound)⁺ Vᵀ`, and where all of `Σ` stands out.

    With the polar decomposition `X = P H` and `Y = H - bound I` what stands out is
    `P Y⁺ = P (Y + sign(Y) Y) / 2`, and all does where `sign(Y)` is `I`. Neither
    iteration has to converge fully: the singular values for which `P` has not are far
    below the bound and have no part in `Y⁺`; an eigenvalue y for which sign(Y) has not
    is below rounding, and y with it. Where the bound is below rounding, nothing is
    known of the singular values next to it.
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
