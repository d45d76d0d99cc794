"""The orthogonal factor of the polar decomposition: the nearest orthogonal matrix."""

import math
from functools import partial

from keras import ops

from keras_urnn import _backend
from keras_urnn._backend import matmul
from keras_urnn.linalg.complex_matrices import embedding, nearest_parts
from keras_urnn.linalg.derivatives import polar_derivative
from keras_urnn.linalg.iterations import (
    EPSILON,
    Tensor,
    frobenius,
    gram_defect,
    newton_schulz,
    root_excess,
)
from keras_urnn.linalg.working_form import in_working_form, scaled_to_unit


def polar_factor(matrix: Tensor, method: str = "auto", field: str = "real") -> Tensor:
    """The nearest matrix with orthonormal columns (rows, where it is wide).

    For the SVD `W = U Σ Vᵀ` this is `U Vᵀ`, the orthogonal factor of the polar
    decomposition, and the nearest such matrix in every unitarily invariant norm. It
    is unique where `W` has full rank; elsewhere one of the nearest is returned.

    A matrix that is orthogonal to the rounding of its dtype is returned unchanged,
    bit for bit. A matrix with an entry that is not finite is returned as it is, so that
    the caller sees it: an SVD of it may not end. Each method has the derivative of
    `derivatives.polar_derivative`.

    Args:
        matrix: tensor of shape `(..., rows, columns)`.
        method: `"newton_schulz"` iterates `X ← X + X (I - XᵀX) / 2` after scaling
            if needed: matrix products only, but NaN if the rank is deficient to
            rounding. `"svd"` decomposes. `"auto"` is Newton-Schulz, and where that
            does not converge it replaces the singular values of 0 and goes on.
            Defaults to `"auto"`.
        field: `"complex"` if the matrix is the embedding of a complex one, so that the
            result is one, too. Defaults to `"real"`.

    Returns:
        A tensor of the shape and dtype of `matrix`.

    Reference:
        - Higham, Functions of Matrices, 2008, chapter 8
    """
    return _backend.call(
        _polar_factor, matrix, polar_derivative, method=method, field=field
    )


def _polar_factor(matrix: Tensor, method: str, field: str) -> Tensor:
    epsilon = EPSILON[ops.dtype(matrix)]
    polar = partial(_tall_polar, method=method, field=field, epsilon=epsilon)
    return in_working_form(polar, matrix)


def _tall_polar(x: Tensor, method: str, field: str, epsilon: float) -> Tensor:
    defect = gram_defect(x)
    if method == "svd":
        factor = _svd_polar(scaled_to_unit(x))
        if field == "complex":
            factor = _of_full_rank(factor, field)
    else:
        excess, near = root_excess(x, -defect)
        factor = ops.cond(
            ops.all(near),
            lambda: x - excess,
            lambda: _from_afar(x, defect, method, field),
        )
    return ops.where(_is_rounding(defect, epsilon), x, factor)


def _from_afar(x: Tensor, defect: Tensor, method: str, field: str) -> Tensor:
    # Newton-Schulz converges without scaling if ‖I - XᵀX‖ < 1.
    scaled = ops.cond(
        ops.all(frobenius(defect) < 1.0), lambda: x, lambda: scaled_to_unit(x)
    )
    factor, converged = newton_schulz(scaled)
    if method == "newton_schulz":
        factor = ops.where(converged, factor, math.nan)
    elif field == "real":
        return ops.cond(
            ops.all(converged), lambda: factor, lambda: _of_full_rank(factor, field)
        )
    return factor if field == "real" else _of_full_rank(factor, field)


def _of_full_rank(x: Tensor, field: str) -> Tensor:
    """The polar factor of `X`, whose singular values are 1, or near 0 if they were so.

    The singular values of an embedding are pairs of equal ones, and rounding or an SVD
    may turn the two vectors of a pair apart if they are small. So `X` is made the
    nearest embedding first.
    """
    if field == "complex":
        x = embedding(nearest_parts(x))
    return newton_schulz(_with_full_rank(x))[0]


def _with_full_rank(x: Tensor) -> Tensor:
    """`X` with other singular values in (0, 1] instead of those near 0.

    Those near 1 stay, with their vectors. `(I - XXᵀ) M (I - XᵀX)` maps the space of the
    others onto their images by a matrix `M` which has nothing to do with `X`, so that
    its rank is full there. This takes products only: compiling an SVD takes XLA longer
    than all of a training step.
    """
    rows, columns = shape = x.shape[-2:]
    i, j = (ops.arange(1, (size + 1) // 2 + 1, dtype=x.dtype) for size in shape)
    # Frequencies at multiples of the golden ratio are at least 1 / (√5 columns) apart.
    # By the large sieve ‖exp(2π i φ j k)‖² is then at most rows + √5 columns.
    angles = math.pi * (1.0 + math.sqrt(5.0)) * i[:, None] * j
    size = math.sqrt(i.shape[0] + math.sqrt(5.0) * j.shape[0])
    # The embedding of a complex matrix, so that the result is one if `X` is.
    parts = ops.concatenate([ops.cos(angles), ops.sin(angles)], axis=-1)
    mixing = embedding(parts / size)[:rows, :columns]
    outside = mixing - matmul(x, matmul(ops.swapaxes(x, -1, -2), mixing))
    return x + matmul(outside, gram_defect(x))


def _is_rounding(defect: Tensor, epsilon: float) -> Tensor:
    """Whether `I - XᵀX` is no larger than the rounding of an orthogonal `X`.

    In half precision a projected matrix is computed in float32 and rounded once. A
    change of each entry by `epsilon / 2` of itself changes an entry of `XᵀX` by at most
    `epsilon`, and `XᵀX` by `sqrt(n) epsilon`, to which half is added for the products
    in float32. In float32 and float64 the factors were chosen by hand. With smaller
    ones a projected matrix would change again when it is projected twice, with larger
    ones a matrix with a visible defect would be returned unchanged.
    """
    n = defect.shape[-1]
    is_half = epsilon > EPSILON["float32"]
    most, norm = (1.5, 1.5) if is_half else (min(4.0 * n, 16.0), 4.0)
    largest = ops.max(ops.abs(defect), axis=(-2, -1), keepdims=True)
    small = largest <= most * epsilon
    return ops.logical_and(small, frobenius(defect) <= norm * math.sqrt(n) * epsilon)


def _svd_polar(x: Tensor) -> Tensor:
    """`U Vᵀ`, and one Newton-Schulz step.

    Some SVDs leave a defect of 1e-6 in float32.
    """
    u, _, vt = ops.svd(x, full_matrices=False)
    x = matmul(u, vt)
    return x + 0.5 * matmul(x, gram_defect(x))
