"""Functions of matrices by matrix products: iterations, a series, and norms.

All work on the last two axes. Products are fast on a GPU and under XLA, and have
gradients everywhere; decompositions are slow there, and their gradients may be
infinite.

The thresholds below say where an iteration ends. They follow from the rounding unit ε
and the number of rows n; their factors were chosen by hand and are held by the tests
against SciPy in tests/test_linalg.py. If one is too small an iteration runs longer
without getting closer, if it is too large the result is less exact.
"""

import math
from functools import cache
from typing import Any, TypeAlias

import numpy as np
from keras import ops

from keras_urnn._backend import cubic, fold, matmul

Tensor: TypeAlias = Any  # a tensor of the active backend

EPSILON = {
    "bfloat16": 2.0**-7,
    "float16": 2.0**-10,
    "float32": 2.0**-23,
    "float64": 2.0**-52,
}


def gram_defect(x: Tensor) -> Tensor:
    """`I - XᵀX`."""
    eye = ops.eye(x.shape[-1], dtype=x.dtype)
    return eye - matmul(ops.swapaxes(x, -1, -2), x)


def newton_schulz_step(x: Tensor) -> Tensor:
    """`X + X (I - XᵀX) / 2`, which removes what an orthogonal `X` has rounded."""
    return x + 0.5 * matmul(x, gram_defect(x))


def frobenius(x: Tensor) -> Tensor:
    """The Frobenius norm over the last two axes, kept as axes of size 1."""
    return ops.sqrt(ops.sum(ops.square(x), axis=(-2, -1), keepdims=True))


def norm_bound(matrix: Tensor) -> Tensor:
    """An upper bound of the spectral norm, at most `columns**(1/16)` times it.

    It uses `‖W‖¹⁶ ≤ ‖(WᵀW)⁸‖_F`, after scaling by the Hölder bound
    `sqrt(‖W‖₁ ‖W‖_∞)`. The bound is 1 for the zero matrix, so that one can divide by
    it. Its shape is `(..., 1, 1)`.
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
        # Without this scaling ‖W‖¹⁶ / holder¹⁶ of a large matrix would round to 0.
        size = frobenius(gram)
        size = ops.where(size > 0.0, size, ops.ones_like(size))
        bound = bound * size ** (0.5 ** (doubling + 1))
        gram = gram / size
        if doubling < 3:
            gram = matmul(gram, gram)
    return bound


def newton_schulz(x: Tensor) -> tuple[Tensor, Tensor]:
    """The polar factor of `x` with singular values in (0, √3), and where it converged.

    A step takes a singular value σ to σ (3 - σ²) / 2. Small ones grow by a factor of
    1.5, those near 1 converge quadratically. Those that are 0 to rounding stay in
    [0, 1), so their matrix does not converge.
    """
    epsilon = EPSILON[ops.dtype(x)]
    # The step after the loop squares the defect, so the root of ε is enough. A large
    # matrix may not get there: its defect stays at the rounding of n products.
    done = max(0.3 * math.sqrt(epsilon), 2.0 * x.shape[-1] * epsilon)
    # The steps from σ = ε up to 1 by factors of 1.5, and 8 for the quadratic end.
    most = math.ceil(-math.log(epsilon) / math.log(1.5)) + 8

    def unfinished(x: Tensor, defect: Tensor) -> Tensor:
        return ops.any(frobenius(defect) > done)

    def step(x: Tensor, defect: Tensor) -> tuple[Tensor, Tensor]:
        x = x + 0.5 * matmul(x, defect)
        return x, gram_defect(x)

    x, defect = ops.while_loop(
        unfinished, step, (x, gram_defect(x)), maximum_iterations=most
    )
    return x + 0.5 * matmul(x, defect), frobenius(defect) <= done


def root_excess(x: Tensor, e: Tensor) -> tuple[Tensor, Tensor]:
    """`X (I - (I + E)^(-1/2))` by six terms of its series, and where these are enough.

    `E` is symmetric, and commutes with `XᵀX`. Six terms take four products; the
    twelve of release 0.3.0 took six (CHANGELOG, 0.4.0). With fewer terms fewer matrices
    count as near, and the others take a whole iteration.
    """
    first = _without_dust(e)
    second = _without_dust(matmul(first, first))
    third = matmul(second, first)
    powers = (first, second, third)
    low, high = (_combination(_ROOT_SERIES[k : k + 3], powers) for k in (0, 3))
    left_out = abs(_ROOT_SERIES[6]) * ops.sqrt(frobenius(second)) ** 7
    near = left_out < 0.5 * EPSILON[ops.dtype(x)]
    return matmul(x, low + matmul(third, high)), near


# The coefficients of e, e², ... e⁷ in 1 - (1 + e)^(-1/2). The seventh tells what six
# terms leave out.
_ROOT_SERIES = [0.5]
for _k in range(2, 8):
    _ROOT_SERIES.append(_ROOT_SERIES[-1] * (1.0 - 2.0 * _k) / (2.0 * _k))


def _without_dust(x: Tensor) -> Tensor:
    """`x` with 0 instead of entries far below rounding.

    Their powers would be denormal numbers, which slow down a processor.
    """
    dust = abs(x) < 1e-4 * EPSILON[ops.dtype(x)]
    return ops.where(dust, ops.zeros_like(x), x)


def _combination(coefficients: list[float], powers: tuple[Tensor, ...]) -> Tensor:
    first, *rest = (c * power for c, power in zip(coefficients, powers, strict=True))
    return sum(rest, start=first)


def matrix_sign(a: Tensor) -> Tensor:
    """The sign of a symmetric matrix, as exact as its product with it needs.

    By scaled Newton-Schulz. While the eigenvalues of `X` lie between `l` and 1 in
    magnitude, a step is `X ← (3 s X - s³ X³) / 2` with `s² = 3 / (1 + l + l²)`. Small
    eigenvalues then grow by a factor of 2.6 instead of 1.5. The steps depend on `l`
    alone, so one table holds all of them, and the norm of `a` says which are taken. The
    first is that for eigenvalues of 32 ε (smaller ones stay inside [-1, 1]). After the
    last the error of the signs, times the norm, is below 8 ε.

    Reference:
        - Chen and Chow, A stable scaling of Newton-Schulz for improving the sign
          function computation of a Hermitian matrix, 2014
    """
    epsilon = EPSILON[ops.dtype(a)]
    least = 32.0 * epsilon
    lows, steps = _sign_steps(least)
    norm = ops.maximum(ops.sqrt(frobenius(matmul(a, a))), least)
    low = ops.convert_to_tensor(lows, dtype=a.dtype)
    first = _count(low[1:] <= ops.min(least / norm))
    # If one norm of a batch is NaN or Inf, all steps are taken: the other matrices of
    # the batch need theirs.
    end = len(steps) - _count((1.0 - low[:-1]) * ops.max(norm) <= 8.0 * epsilon)
    return fold(cubic, steps, first, end, a / norm)


def _count(x: Tensor) -> Tensor:
    """How many elements are True."""
    return ops.sum(ops.cast(x, "int32"))


@cache
def _sign_steps(low: float) -> tuple[np.ndarray, np.ndarray]:
    """The `l` before each step and 1 for the last, and `3 s / 2`, `s³ / 2` of each."""
    lows, coefficients = [], []
    while 1.0 - low > 2.0 * EPSILON["float64"]:
        lows.append(low)
        # With s² = 3 the eigenvalue 1 would become 0, and rounding would decide its
        # sign. 2.9 is a margin, chosen by hand.
        s = math.sqrt(min(2.9, 3.0 / (1.0 + low + low * low)))
        linear, third = 1.5 * s, 0.5 * s**3
        coefficients.append((linear, third))
        low = min(linear * t - third * t**3 for t in (low, 1.0))
    return np.array([*lows, 1.0]), np.array(coefficients)
