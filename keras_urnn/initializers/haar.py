"""Random matrices of a group, each as likely as any other."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import keras
from keras import ops

from keras_urnn import _checks, linalg
from keras_urnn._serialization import register
from keras_urnn.initializers.arguments import checked, seed_of, seeded
from keras_urnn.linalg import Tensor

GROUPS = ("O", "SO", "U")
_OF_COMPLEX = "It is the real form of a complex matrix of half the size."


@register
class Haar(keras.initializers.Initializer):
    """Draws an orthogonal or unitary matrix, each as likely as any other.

    The uniform distribution on a group of matrices, its Haar measure: multiplied by a
    fixed matrix of the group, a random one has the same distribution. Choose `Henaff`
    or `CayleyAngles` for a distribution of the eigenvalues of your own choice.

    For a matrix `Z` of independent standard normal numbers with the polar decomposition
    `Z = Q P`,

        W = Q

    is distributed by that measure, because `Q` of a product `V Z` is `V Q`, and `V Z`
    has the distribution of `Z` for each `V` of the group. A unitary matrix `A + iB` is
    returned as the real matrix `[[A, B], [-B, A]]` of shape `(2n, 2n)`, which acts on
    row vectors `[Re | Im]`. Cost: O(n³).

    Args:
        group: string. `"O"` draws an orthogonal matrix, with determinant 1 or -1 in
            half of the cases each; `"SO"` a rotation, with determinant 1; `"U"` a
            unitary matrix. Defaults to `"O"`.
        seed: integer, `keras.random.SeedGenerator` or None, as in Keras' own: an
            integer gives the same matrix at each call, a generator another one. None
            draws an integer. Defaults to `None`.

    Raises:
        ValueError: for another group or what is no seed, and in a call for a shape that
            is not `(n, n)`, with an even `n` for `"U"`, or a dtype that is not of
            floating-point numbers.

    Example:
        ```python
        haar = keras_urnn.initializers.Haar("SO", seed=1)
        haar((4, 4))  # shape (4, 4)
        ```

    Reference:
        - [Mezzadri, 2007](https://arxiv.org/abs/math-ph/0609050)
    """

    def __init__(self, group: str = "O", seed: Any = None) -> None:
        advice = "It is the group of the matrices."
        self.group = _checks.one_of("group", group, GROUPS, advice)
        self._normal = seeded(partial(keras.initializers.RandomNormal, 0.0, 1.0), seed)

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> Tensor:
        n, dtype, wide = checked(shape, dtype)
        if self.group == "U":
            return ops.cast(self._unitary(n, wide), dtype)
        Q = linalg.polar_factor(self._normal((n, n), wide))
        if self.group == "SO":
            # To change the sign of one column keeps the measure.
            signs = ops.concatenate([ops.sign(ops.det(Q))[None], ops.ones((n - 1,))])
            Q = Q * ops.cast(signs, wide)
        return ops.cast(Q, dtype)

    def _unitary(self, n: int, dtype: str) -> Tensor:
        if n % 2:
            expected, advice = 'of an even size with group="U"', _OF_COMPLEX
            raise _checks.error("shape", expected, (n, n), advice)
        A, B = ops.split(self._normal((n // 2, n), dtype), 2, axis=1)
        # The polar factor of a matrix of this form has the form, but for rounding.
        Q = linalg.polar_factor(_of_complex(A, B))
        return _of_complex(*ops.split(Q[: n // 2], 2, axis=1))

    def get_config(self) -> dict[str, Any]:
        return {"group": self.group, **seed_of(self._normal)}


def _of_complex(A: Tensor, B: Tensor) -> Tensor:
    """The real matrix that acts on `[Re | Im]` as `A + iB` acts on complex rows."""
    rows = [ops.concatenate(row, axis=1) for row in ([A, B], [-B, A])]
    return ops.concatenate(rows, axis=0)
