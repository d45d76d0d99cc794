"""Rotations of pairs of neighbouring states by random angles."""

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import keras
from keras import ops

from keras_urnn._backend import cos_and_sin
from keras_urnn._serialization import register
from keras_urnn.initializers.arguments import checked, seed_of, seeded
from keras_urnn.linalg import Tensor


@register
class Henaff(keras.initializers.Initializer):
    """Draws rotations of pairs of neighbouring states by any angle.

    The block-diagonal start of orthogonal networks for long memories: its eigenvalues
    are spread over the whole circle. Choose `CayleyAngles` for small angles, `Haar` for
    a matrix without zeros.

    For angles `θ_j`, uniform in [-π, π],

        W = diag(B_1, B_2, ...),    B_j = [[cos θ_j, sin θ_j], [-sin θ_j, cos θ_j]]

    and a last block `[1]` where the number of states is odd. The determinant is 1.

    The two parts of a complex number are such a pair. A cell of complex states, which
    asks for `[A | B]` of shape `(n, 2n)`, gets `W = diag(exp(iθ_1), exp(iθ_2), ...)`.

    Args:
        seed: integer, `keras.random.SeedGenerator` or None, as in `Haar`. Defaults to
            `None`.

    Raises:
        ValueError: for what is no seed, and in a call for a shape that is not `(n, n)`
            or `(n, 2n)`, or a dtype that is not of floating-point numbers.

    Example:
        ```python
        start = keras_urnn.initializers.Henaff(seed=1)
        layer = keras_urnn.UnitaryRNN(8, recurrent_initializer=start)
        y = layer(keras.random.normal((2, 10, 3)))  # shape (2, 8)
        ```

    Reference:
        - [Henaff et al., 2016](https://arxiv.org/abs/1602.06662), section 4
    """

    def __init__(self, seed: Any = None) -> None:
        self._uniform = seeded(
            partial(keras.initializers.RandomUniform, -1.0, 1.0), seed
        )

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> Tensor:
        n, field, dtype, wide = checked(shape, dtype)
        angles = math.pi * self._uniform((_count(n, field),), wide)
        return ops.cast(_of_angles(angles, n, field), dtype)

    def get_config(self) -> dict[str, Any]:
        return seed_of(self._uniform)


@register
class CayleyAngles(keras.initializers.Initializer):
    """Draws rotations of pairs of neighbouring states by up to a right angle.

    The start of the scoRNN. Choose `Henaff` for angles of the whole circle.

    For `t_j`, uniform in [0, π/2], and the skew-symmetric matrix `A` with the blocks
    `[[0, s_j], [-s_j, 0]]` on its diagonal,

        W = (I + A)⁻¹ (I - A),    s_j = sqrt((1 - cos t_j) / (1 + cos t_j))

    is orthogonal. Its blocks are `[[cos t_j, -sin t_j], [sin t_j, cos t_j]]`, and a
    last one is `[1]` where the number of states is odd. The determinant is 1. With the
    parametrization `Cayley` a cell starts with this `A`.

    The two parts of a complex number are such a pair. A cell of complex states, which
    asks for `[A | B]` of shape `(n, 2n)`, gets `W = diag(exp(-it_1), exp(-it_2), ...)`.

    Args:
        seed: integer, `keras.random.SeedGenerator` or None, as in `Haar`. Defaults to
            `None`.

    Raises:
        ValueError: for what is no seed, and in a call for a shape that is not `(n, n)`
            or `(n, 2n)`, or a dtype that is not of floating-point numbers.

    Example:
        ```python
        start = keras_urnn.initializers.CayleyAngles(seed=1)
        cell = keras_urnn.UnitaryRNNCell(
            8, recurrent_initializer=start, parametrization="cayley"
        )
        ```

    Reference:
        - [Helfrich et al., 2018](https://arxiv.org/abs/1707.09520), section 4.3
    """

    def __init__(self, seed: Any = None) -> None:
        self._uniform = seeded(
            partial(keras.initializers.RandomUniform, 0.0, 1.0), seed
        )

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> Tensor:
        n, field, dtype, wide = checked(shape, dtype)
        # The formula of the docstring with s_j = tan(t_j / 2).
        angles = -0.5 * math.pi * self._uniform((_count(n, field),), wide)
        return ops.cast(_of_angles(angles, n, field), dtype)

    def get_config(self) -> dict[str, Any]:
        return seed_of(self._uniform)


def _count(n: int, field: str) -> int:
    """The number of pairs: two states, or the two parts of a complex one."""
    return n if field == "complex" else n // 2


def _of_angles(angles: Tensor, n: int, field: str) -> Tensor:
    """The rotations of the pairs; of complex states `[A | B]`, a diagonal of phases."""
    if field == "real":
        return _rotations(angles, n)
    return ops.concatenate([ops.diag(part) for part in cos_and_sin(angles)], axis=1)


def _rotations(angles: Tensor, n: int) -> Tensor:
    """The block-diagonal matrix of rotations, and 1 for a state without a partner."""
    cos, sin = cos_and_sin(angles)
    last, between = ops.ones((n % 2,), cos.dtype), ops.zeros_like(sin)
    diagonal = ops.concatenate([ops.repeat(cos, 2), last])
    above = ops.reshape(ops.stack([sin, between], axis=1), (-1,))
    if n == 1:
        return ops.diag(diagonal)
    above = ops.diag(above[: n - 1], k=1)
    return ops.diag(diagonal) + above - ops.transpose(above)
