"""The derivatives of the projections, from one singular value decomposition.

Both projections are gradients of convex functions of the matrix, so each derivative is
its own adjoint: the same map takes a direction forward and the gradient of a loss back.
"""

import math
from functools import partial
from typing import Any

from keras import ops

from keras_urnn._backend import matmul
from keras_urnn._backend.own_derivative import with_derivative
from keras_urnn.linalg.iterations import EPSILON, Tensor
from keras_urnn.linalg.working_form import (
    divided,
    in_working_form,
    largest_entry,
    transpose,
)

Decomposition = tuple[Tensor, Tensor, Tensor]


def polar_derivative(matrix: Tensor, direction: Tensor, **_: Any) -> Tensor:
    """The derivative of the polar factor `U Vᵀ` along a direction `G`.

    With `M = Uᵀ G V` it is `U K Vᵀ + (G V - U M) Σ⁻¹ Vᵀ` where

        K_ij = (M_ij - M_ji) / (σ_i + σ_j),

    and at an orthogonal matrix `Q` it is `(G - Q Gᵀ Q) / 2`. At a singular matrix there
    is no derivative, as the factor is not unique. Terms with a divisor of 0, to
    rounding, are left out there. The derivative is the same for each method.
    """
    return in_working_form(_tall_polar_derivative, matrix, direction)


def _tall_polar_derivative(x: Tensor, direction: Tensor) -> Tensor:
    largest = largest_entry(x)
    u, sigma, vt = _svd(divided(x, largest))
    rounding = x.shape[-1] * EPSILON[ops.dtype(x)]
    zero = sigma <= rounding * ops.max(sigma, axis=-1, keepdims=True)
    sigma = ops.where(zero, 0.0, sigma)
    one = ops.ones_like(sigma)
    along = _along(direction, (u, sigma, vt), one, ops.zeros_like(sigma))
    return divided(along, largest)


def clip_derivative(
    matrix: Tensor, direction: Tensor, max_norm: float, **_: Any
) -> Tensor:
    """The derivative of `U min(Σ, max_norm) Vᵀ` along a direction `G`.

    At a matrix with a singular value equal to `max_norm` there is no derivative. The
    one from inside the ball is returned: such a value counts as free to move, so that
    at each matrix of the set the derivative is `G`. It is the same for each method.
    """
    # A singular value of a clipped matrix is `max_norm` to this rounding, in the dtype
    # of the matrix; see `clipping._tall_clip`.
    rounding = 2.0 * math.sqrt(min(matrix.shape[-2:])) * EPSILON[ops.dtype(matrix)]
    function = partial(_tall_clip_derivative, max_norm=max_norm, rounding=rounding)
    return in_working_form(function, matrix, direction)


def _tall_clip_derivative(
    x: Tensor, direction: Tensor, max_norm: float, rounding: float
) -> Tensor:
    largest = largest_entry(x)
    u, sigma, vt = _svd(divided(x, largest))
    bound = ops.squeeze(divided(max_norm, largest), -1)
    # The rounding of the SVD, with a factor that was chosen by hand. With a smaller one
    # a value on the bound would count as above it, and its derivative would be 0.
    rounding += 2.0 * x.shape[-1] * EPSILON[ops.dtype(x)]
    inside = sigma <= (1.0 + rounding) * bound
    clipped = ops.where(sigma < bound, sigma, bound)
    sigma = ops.where(inside, clipped, sigma)
    slope = ops.cast(inside, x.dtype)
    along = _along(direction, (u, sigma, vt), clipped, slope)
    on_set = ops.expand_dims(ops.all(inside, axis=-1, keepdims=True), -1)
    return ops.where(on_set, direction, along)


def _along(
    direction: Tensor, decomposition: Decomposition, f: Tensor, slope: Tensor
) -> Tensor:
    """The derivative of `U f(Σ) Vᵀ` along `G`, for an `f` of two linear pieces.

    With `M = Uᵀ G V` it is `U (D ∘ (M + Mᵀ) + E ∘ (M - Mᵀ)) Vᵀ / 2`, where

        D_ij = (f_i - f_j) / (σ_i - σ_j),    E_ij = (f_i + f_j) / (σ_i + σ_j),

    and both are the slope of `f` where the quotient is 0 / 0. If there are more rows
    than columns, the part of `G V` orthogonal to the columns of `U` is multiplied by
    `f(Σ) / Σ`.
    """
    u, sigma, vt = decomposition
    image = matmul(direction, transpose(vt))
    m = matmul(transpose(u), image)
    (s_i, s_j), (f_i, f_j), (p_i, p_j) = map(_pairs, (sigma, f, slope))
    # If both values lie on one piece of `f`, the slope has no rounding error.
    d = ops.where(p_i == p_j, p_i, _quotient(f_i - f_j, s_i - s_j, p_i))
    e = _quotient(f_i + f_j, s_i + s_j, p_i)
    inner = 0.5 * (d * (m + transpose(m)) + e * (m - transpose(m)))
    result = matmul(u, inner)
    if u.shape[-2] > u.shape[-1]:
        result = result + (image - matmul(u, m)) * _quotient(f_j, s_j, p_j)
    return matmul(result, vt)


def _pairs(x: Tensor) -> tuple[Tensor, Tensor]:
    """`x_i` and `x_j` of all pairs, as a column and a row."""
    return ops.expand_dims(x, -1), ops.expand_dims(x, -2)


def _quotient(a: Tensor, b: Tensor, otherwise: Tensor) -> Tensor:
    """`a / b`, and `otherwise` where `b` is 0."""
    is_zero = b == 0.0
    return ops.where(is_zero, otherwise, a / ops.where(is_zero, 1.0, b))


def _svd(x: Tensor) -> Decomposition:
    # The derivative of `ops.svd` is infinite at equal singular values, as all are on
    # the set, so a second derivative is refused.
    decompose: Any = with_derivative(_plain_svd, _refuse)
    u, sigma, vt = decompose(x)
    return u, sigma, vt


def _plain_svd(x: Tensor) -> Decomposition:
    u, sigma, vt = ops.svd(x, full_matrices=False)
    return u, sigma, vt


def _refuse(x: Tensor, *_: Tensor) -> Tensor:
    raise NotImplementedError(
        "A projection has a first derivative only. Received: a request for the "
        f"derivative of it, for a kernel of shape {tuple(x.shape)}. Take second "
        "derivatives with the projection left out, of the kernel that it returned."
    )
