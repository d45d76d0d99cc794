"""Tensor maps onto the orthogonal and the contractive matrices, on `keras.ops`."""

import math
from typing import Any, TypeAlias

from keras import ops

from keras_urnn import _backend, _checks
from keras_urnn._backend import matmul

Tensor: TypeAlias = Any  # whatever tensor the active backend works with

METHODS = ("auto", "svd", "newton_schulz")


def check_method(method: Any) -> str:
    """Return `method` where it is one of `METHODS`, or raise."""
    advice = 'Leave it at "auto" unless you compare methods.'
    return _checks.one_of("method", method, METHODS, advice)


EPSILON = {
    "bfloat16": 2.0**-7,
    "float16": 2.0**-10,
    "float32": 2.0**-23,
    "float64": 2.0**-52,
}


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
        defect = _defect(tall)
        if method == "svd":
            factor = _svd_polar(tall)
        else:
            excess, near = _root_excess(tall, -defect)
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
        ops.all(_frobenius(defect) < 1.0), lambda: x, lambda: x / norm_bound(x)
    )
    factor, converged = _newton_schulz(scaled)
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
        _clip_singular_values, matrix, max_norm=max_norm, method=method
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
        inside = ops.logical_and(near, _frobenius(excess) <= rounding)
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


def norm_bound(matrix: Tensor) -> Tensor:
    """An upper bound of the spectral norm, at most `columns**(1/16)` times it.

    `‖W‖¹⁶ ≤ ‖(WᵀW)⁸‖_F`, after scaling by the Hölder bound `sqrt(‖W‖₁ ‖W‖_∞)`. It is
    1 for the zero matrix, so that one can divide by it. Shape `(..., 1, 1)`.
    """
    magnitude = ops.abs(matrix)
    columns = ops.max(
        ops.sum(magnitude, axis=-2, keepdims=True), axis=-1, keepdims=True
    )
    rows = ops.max(ops.sum(magnitude, axis=-1, keepdims=True), axis=-2, keepdims=True)
    holder = ops.sqrt(columns) * ops.sqrt(rows)
    holder = ops.where(holder > 0.0, holder, ops.ones_like(holder))
    scaled = matrix / holder
    gram = matmul(ops.swapaxes(scaled, -1, -2), scaled)
    bound = holder
    for doubling in range(4):
        # Squared as it is, ‖W‖¹⁶ / holder¹⁶ would vanish among the rounding to 0.
        size = _frobenius(gram)
        size = ops.where(size > 0.0, size, ops.ones_like(size))
        bound = bound * size ** (0.5 ** (doubling + 1))
        gram = gram / size
        if doubling < 3:
            gram = matmul(gram, gram)
    return bound


def _prepare(matrix: Tensor) -> tuple[str, Tensor, Tensor]:
    """The dtype, a finite stand-in in the working dtype, and where it is genuine."""
    dtype = ops.dtype(matrix)
    w = ops.cast(matrix, _backend.product_dtype(dtype))
    finite = ops.all(ops.isfinite(w), axis=(-2, -1), keepdims=True)
    eye = ops.eye(w.shape[-2], w.shape[-1], dtype=w.dtype)
    return dtype, ops.where(finite, w, eye), finite


def _defect(x: Tensor) -> Tensor:
    """`I - XᵀX`."""
    eye = ops.eye(x.shape[-1], dtype=x.dtype)
    return eye - matmul(ops.swapaxes(x, -1, -2), x)


def _frobenius(x: Tensor) -> Tensor:
    """The Frobenius norm over the last two axes, kept as axes of size 1."""
    return ops.sqrt(ops.sum(ops.square(x), axis=(-2, -1), keepdims=True))


def _is_rounding(defect: Tensor, epsilon: float) -> Tensor:
    """Whether `I - XᵀX` is what rounding leaves of an orthogonal `X`."""
    largest = ops.max(ops.abs(defect), axis=(-2, -1), keepdims=True)
    n = defect.shape[-1]
    small = largest <= min(4.0 * n, 16.0) * epsilon
    return ops.logical_and(small, _frobenius(defect) <= 4.0 * math.sqrt(n) * epsilon)


def _newton_schulz(x: Tensor) -> tuple[Tensor, Tensor]:
    """The polar factor of `x` with singular values in (0, √3), and where it converged.

    A singular value σ becomes σ (3 - σ²) / 2: small ones grow by 1.5 a step, those
    near 1 converge quadratically. Those that are 0 to rounding stay in [0, 1).
    """
    epsilon = EPSILON[ops.dtype(x)]
    # One more step squares the defect: below this it ends at rounding.
    done = max(0.3 * math.sqrt(epsilon), 2.0 * x.shape[-1] * epsilon)
    # From σ = ε up to 1, and the quadratic end.
    most = math.ceil(-math.log(epsilon) / math.log(1.5)) + 8

    def unfinished(k: Tensor, x: Tensor, defect: Tensor) -> Tensor:
        return ops.logical_and(k < most, ops.any(_frobenius(defect) > done))

    def step(k: Tensor, x: Tensor, defect: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x = x + 0.5 * matmul(x, defect)
        return k + 1, x, _defect(x)

    start = (ops.zeros((), dtype="int32"), x, _defect(x))
    _, x, defect = ops.while_loop(unfinished, step, start)
    return x + 0.5 * matmul(x, defect), _frobenius(defect) <= done


def _svd_polar(x: Tensor) -> Tensor:
    """`U Vᵀ`, and one Newton-Schulz step: some SVDs leave 1e-6 in float32."""
    u, _, vt = ops.svd(x, full_matrices=False)
    x = matmul(u, vt)
    return x + 0.5 * matmul(x, _defect(x))


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
    a = -_defect(x / max_norm)
    return _root_excess(x, 0.5 * (a + matmul(a, _sign(a))))


def _root_excess(x: Tensor, e: Tensor) -> tuple[Tensor, Tensor]:
    """`X (I - (I + E)^(-1/2))` by six terms of its series, and where these are enough.

    `E` is symmetric, and commutes with `XᵀX`.
    """
    first = _without_dust(e)
    second = _without_dust(matmul(first, first))
    third = _without_dust(matmul(second, first))
    powers = (first, second, third)
    low, high = (_combination(_ROOT_SERIES[k : k + 3], powers) for k in (0, 3))
    left_out = abs(_ROOT_SERIES[6]) * ops.sqrt(_frobenius(second)) ** 7
    near = left_out < 0.5 * EPSILON[ops.dtype(x)]
    return matmul(x, low + matmul(third, high)), near


# The coefficients of e, e², ... e⁷ in 1 - (1 + e)^(-1/2).
_ROOT_SERIES = [0.5]
for _k in range(2, 8):
    _ROOT_SERIES.append(_ROOT_SERIES[-1] * (1.0 - 2.0 * _k) / (2.0 * _k))


def _without_dust(x: Tensor) -> Tensor:
    """Far below rounding is 0: powers of it are denormal, and slow on a processor."""
    dust = ops.abs(x) < 1e-4 * EPSILON[ops.dtype(x)]
    return ops.where(dust, ops.zeros_like(x), x)


def _combination(coefficients: list[float], powers: tuple[Tensor, ...]) -> Tensor:
    terms = (c * power for c, power in zip(coefficients, powers, strict=True))
    return sum(terms, start=0.0)


def _sign(a: Tensor) -> Tensor:
    """The sign of a symmetric matrix, as exact as `a sign(a)` needs it.

    Newton-Schulz, scaled: as long as the least eigenvalue of `X`, of norm at most 1,
    may be as small as `l`, by `s² = 3 / (1 + l + l²)`. Then `X ← s X (3 - s² X²) / 2`
    makes small eigenvalues grow by 2.6 instead of 1.5. The steps depend on `l` alone,
    so one table holds them all, and the norm of `a` tells where to begin and to end:
    at the `l` of an eigenvalue of 32 units of rounding (smaller ones stay inside
    [-1, 1]), and where what the signs lack, times the norm, is rounding.

    Reference:
        - Chen and Chow, A stable scaling of Newton-Schulz for improving the sign
          function computation of a Hermitian matrix, 2014
    """
    epsilon = EPSILON[ops.dtype(a)]
    least = 32.0 * epsilon
    lows, scales = _sign_steps(least)
    norm = ops.maximum(ops.sqrt(_frobenius(matmul(a, a))), least)
    low = ops.convert_to_tensor(lows, dtype=a.dtype)
    table = ops.convert_to_tensor(scales, dtype=a.dtype)
    first = _count(low[1:] <= ops.min(least / norm))
    end = _count((1.0 - low) * ops.max(norm) > 8.0 * epsilon)
    three = 3.0 * ops.eye(a.shape[-1], dtype=a.dtype)

    def scale(k: Tensor) -> Tensor:
        # Not `table[k]`: TensorFlow would have XLA compile again for each new `k`.
        return ops.take(table, k)

    def step(k: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        # `x` is `s X`.
        return k + 1, matmul(0.5 * scale(k + 1) * x, three - matmul(x, x))

    start = (first, scale(first) * (a / norm))
    k, x = ops.while_loop(lambda k, x: k < end, step, start)
    return x / scale(k)


def _count(x: Tensor) -> Tensor:
    """How many elements are True."""
    return ops.sum(ops.cast(x, "int32"))


def _sign_steps(low: float) -> tuple[list[float], list[float]]:
    """`l` and `s` of each step; in the last one all are 1."""
    lows, scales = [], []
    while 1.0 - low > 2.0 * EPSILON["float64"]:
        # At 3 the eigenvalue 1 would become 0, and lose its sign to rounding.
        square = min(2.9, 3.0 / (1.0 + low + low * low))
        lows.append(low)
        scales.append(math.sqrt(square))
        low = min(scales[-1] * t * (3.0 - square * t * t) / 2.0 for t in (low, 1.0))
    return [*lows, 1.0], [*scales, 1.0]


def _polar_excess(x: Tensor, max_norm: float) -> Tensor:
    """`U (Σ - max_norm)⁺ Vᵀ` by matrix products.

    With the polar decomposition `X = P H` and `Y = H - max_norm I` it is
    `P Y⁺ = P (Y + sign(Y) Y) / 2`. Neither iteration has to converge fully: the
    singular values for which `P` has not are far below `max_norm` and have no part
    in `Y⁺`; an eigenvalue y for which sign(Y) has not is below rounding, and y with it.
    """
    polar, _ = _newton_schulz(x / norm_bound(x))
    h = matmul(ops.swapaxes(polar, -1, -2), x)
    eye = ops.eye(x.shape[-1], dtype=x.dtype)
    y = 0.5 * (h + ops.swapaxes(h, -1, -2)) - max_norm * eye
    sign, _ = _newton_schulz(y / norm_bound(y))
    return 0.5 * matmul(polar, y + matmul(sign, y))
