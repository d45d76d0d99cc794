"""Tensor maps onto the orthogonal and the contractive matrices, on `keras.ops`."""

import math
from typing import Any

from keras import ops

from keras_urnn import _backend, _checks
from keras_urnn._backend import matmul
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

__all__ = [
    "EPSILON",
    "METHODS",
    "Tensor",
    "check_method",
    "clip_singular_values",
    "norm_bound",
    "polar_factor",
]

METHODS = ("auto", "svd", "newton_schulz")
# Of so many rows TensorFlow shares a product among threads that mostly wait for each
# other. A clip by XLA takes half as long then, and a second or two to compile.
_SHARED = range(97, 257)


def check_method(method: Any) -> str:
    """Return `method` where it is one of `METHODS`, or raise."""
    advice = 'Leave it at "auto" unless you compare methods.'
    return _checks.one_of("method", method, METHODS, advice)


def polar_factor(matrix: Tensor, method: str = "auto") -> Tensor:
    """The nearest matrix with orthonormal columns (rows, where it is wide).

    For the SVD `W = U Σ Vᵀ` this is `U Vᵀ`, the orthogonal factor of the polar
    decomposition, and the nearest such matrix in every unitarily invariant norm. It
    is unique where `W` has full rank; elsewhere one of the nearest is returned.

    A matrix that is orthogonal to the rounding of its dtype is returned unchanged,
    bit for bit. One with an entry that is not finite is returned as it is, so that
    the caller sees it and no SVD spins on it.

    Args:
        matrix: tensor of shape `(..., rows, columns)`.
        method: `"newton_schulz"` iterates `X ← X + X (I - XᵀX) / 2` after scaling
            where needed: matrix products only, but NaN where the rank is deficient
            to rounding. `"svd"` decomposes. `"auto"` is Newton-Schulz, with the SVD
            where that does not converge. Defaults to `"auto"`.

    Returns:
        A tensor of the shape and dtype of `matrix`.

    Reference:
        - Higham, Functions of Matrices, 2008, chapter 8
    """
    return _backend.call(_polar_factor, matrix, method=method)


def _polar_factor(matrix: Tensor, method: str) -> Tensor:
    with _backend.full_precision():
        dtype, w, finite = _prepare(matrix)
        wide = w.shape[-2] < w.shape[-1]
        tall = ops.swapaxes(w, -1, -2) if wide else w
        defect = gram_defect(tall)
        if method == "svd":
            factor = _svd_polar(tall)
        else:
            excess, near = root_excess(tall, -defect)
            factor = ops.cond(
                ops.all(near),
                lambda: tall - excess,
                lambda: _polar_from_afar(tall, defect, method),
            )
        unchanged = _is_rounding(defect, EPSILON[dtype])
        factor = ops.where(unchanged, tall, factor)
        factor = ops.swapaxes(factor, -1, -2) if wide else factor
    return ops.where(finite, ops.cast(factor, dtype), matrix)


def _polar_from_afar(x: Tensor, defect: Tensor, method: str) -> Tensor:
    # Newton-Schulz converges without scaling where ‖I - XᵀX‖ < 1.
    scaled = ops.cond(
        ops.all(frobenius(defect) < 1.0), lambda: x, lambda: x / norm_bound(x)
    )
    factor, converged = newton_schulz(scaled)
    if method == "auto":
        return ops.cond(ops.all(converged), lambda: factor, lambda: _svd_polar(x))
    return ops.where(converged, factor, math.nan)


def clip_singular_values(
    matrix: Tensor, max_norm: float, method: str = "auto"
) -> Tensor:
    """The nearest matrix of spectral norm at most `max_norm`.

    For the SVD `W = U Σ Vᵀ` this is `U min(Σ, max_norm) Vᵀ`, the nearest matrix of
    that norm in the Frobenius norm. It is computed as `W` less what stands out,
    `U (Σ - max_norm)⁺ Vᵀ`, so that a matrix inside the ball is returned unchanged,
    bit for bit. One with an entry that is not finite is returned as it is.

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
        xla=min(matrix.shape[-2:]) in _SHARED and method != "svd",
        max_norm=max_norm,
        method=method,
    )


def _clip_singular_values(matrix: Tensor, max_norm: float, method: str) -> Tensor:
    with _backend.full_precision():
        dtype, w, finite = _prepare(matrix)
        wide = w.shape[-2] < w.shape[-1]
        tall = ops.swapaxes(w, -1, -2) if wide else w
        excess, near = _near_excess(tall, max_norm)
        if method == "svd":
            clipped = _clip_from_afar(tall, max_norm, method)
        else:
            clipped = ops.cond(
                ops.all(near),
                lambda: tall - excess,
                lambda: _clip_from_afar(tall, max_norm, method),
            )
        rounding = 2.0 * math.sqrt(tall.shape[-1]) * EPSILON[dtype] * max_norm
        inside = ops.logical_and(near, frobenius(excess) <= rounding)
        clipped = ops.where(inside, tall, clipped)
        clipped = ops.swapaxes(clipped, -1, -2) if wide else clipped
    return ops.where(finite, ops.cast(clipped, dtype), matrix)


def _clip_from_afar(x: Tensor, max_norm: float, method: str) -> Tensor:
    """`U min(Σ, max_norm) Vᵀ` for singular values of any size.

    What stands out is known to rounding relative to ‖W‖. Far from the set that is not
    enough, nor is a float32 SVD anywhere: the rest is then taken off, in as many passes
    as the exponent of ‖W‖ asks for.
    """
    if method == "svd":
        coarse, excess = ops.convert_to_tensor(True), _svd_excess(x, max_norm)
    else:
        coarse, excess = _is_far(x, max_norm), _polar_excess(x, max_norm)
    clipped, _ = ops.while_loop(
        lambda _, coarse: coarse,
        lambda w, _: (w - _polar_excess(w, max_norm), _is_far(w, max_norm)),
        (x - excess, coarse),
        maximum_iterations=10,
    )
    return clipped


def _is_far(matrix: Tensor, max_norm: float) -> Tensor:
    return ops.any(norm_bound(matrix) > 2.0 * max_norm)


def _prepare(matrix: Tensor) -> tuple[str, Tensor, Tensor]:
    """The dtype, a finite stand-in in the working dtype, and where it is genuine."""
    dtype = ops.dtype(matrix)
    w = ops.cast(matrix, _backend.product_dtype(dtype))
    finite = ops.all(ops.isfinite(w), axis=(-2, -1), keepdims=True)
    eye = ops.eye(w.shape[-2], w.shape[-1], dtype=w.dtype)
    return dtype, ops.where(finite, w, eye), finite


def _is_rounding(defect: Tensor, epsilon: float) -> Tensor:
    """Whether `I - XᵀX` is what rounding leaves of an orthogonal `X`."""
    largest = ops.max(ops.abs(defect), axis=(-2, -1), keepdims=True)
    n = defect.shape[-1]
    small = largest <= min(4.0 * n, 16.0) * epsilon
    return ops.logical_and(small, frobenius(defect) <= 4.0 * math.sqrt(n) * epsilon)


def _svd_polar(x: Tensor) -> Tensor:
    """`U Vᵀ`, and one Newton-Schulz step: some SVDs leave 1e-6 in float32."""
    u, _, vt = ops.svd(x, full_matrices=False)
    x = matmul(u, vt)
    return x + 0.5 * matmul(x, gram_defect(x))


def _svd_excess(x: Tensor, max_norm: float) -> Tensor:
    """`U (Σ - max_norm)⁺ Vᵀ`."""
    u, sigma, vt = ops.svd(x, full_matrices=False)
    excess = ops.expand_dims(ops.relu(sigma - max_norm), -2)
    return matmul(u * excess, vt)


def _near_excess(x: Tensor, max_norm: float) -> tuple[Tensor, Tensor]:
    """`U (Σ - max_norm)⁺ Vᵀ` near the ball, by one sign iteration; and which are.

    `A = XᵀX / max_norm² - I` has an eigenvalue `e > 0` for each singular value
    `max_norm sqrt(1 + e)` that stands out. With `A⁺ = (A + A sign(A)) / 2` what stands
    out is that of the polar factor of a matrix whose `XᵀX` is `I + A⁺`.
    """
    a = -gram_defect(x / max_norm)
    return root_excess(x, 0.5 * (a + matmul(a, matrix_sign(a))))


def _polar_excess(x: Tensor, max_norm: float) -> Tensor:
    """`U (Σ - max_norm)⁺ Vᵀ` by matrix products.

    With the polar decomposition `X = P H` and `Y = H - max_norm I` it is
    `P Y⁺ = P (Y + sign(Y) Y) / 2`. Neither iteration has to converge fully: the
    singular values for which `P` has not are far below `max_norm` and have no part
    in `Y⁺`; an eigenvalue y for which sign(Y) has not is below rounding, and y with it.
    """
    polar, _ = newton_schulz(x / norm_bound(x))
    h = matmul(ops.swapaxes(polar, -1, -2), x)
    eye = ops.eye(x.shape[-1], dtype=x.dtype)
    y = 0.5 * (h + ops.swapaxes(h, -1, -2)) - max_norm * eye
    sign, _ = newton_schulz(y / norm_bound(y))
    return 0.5 * matmul(polar, y + matmul(sign, y))
