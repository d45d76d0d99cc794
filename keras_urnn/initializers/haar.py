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
from keras_urnn.linalg.complex_matrices import embedding, of_real, through_embedding

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

    A cell of complex states asks for `[A | B]`, of shape `(n, 2n)`. Choose `"U"` there:
    `"O"` and `"SO"` draw a real matrix `A`, and `B` is 0.

    Args:
        group: string. `"O"` draws an orthogonal matrix, with determinant 1 or -1 in
            half of the cases each; `"SO"` a rotation, with determinant 1; `"U"` a
            unitary matrix. Defaults to `"O"`.
        seed: integer, `keras.random.SeedGenerator` or None, as in Keras' own: an
            integer gives the same matrix at each call, a generator another one. None
            draws an integer. Defaults to `None`.

    Raises:
        ValueError: for another group or what is no seed, and in a call for a shape that
            is not `(n, n)`, with an even `n` for `"U"`, or `(n, 2n)`, or a dtype that
            is not of floating-point numbers.

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
        n, field, dtype, wide = checked(shape, dtype)
        if self.group == "U":
            return ops.cast(self._unitary(n, field, wide), dtype)
        Q = linalg.polar_factor(self._normal((n, n), wide))
        if self.group == "SO":
            # To change the sign of one column keeps the measure.
            signs = ops.concatenate([ops.sign(ops.det(Q))[None], ops.ones((n - 1,))])
            Q = Q * ops.cast(signs, wide)
        return ops.cast(of_real(Q, field), dtype)

    def _unitary(self, n: int, field: str, dtype: str) -> Tensor:
        """`[A | B]` of `n` rows; its embedding in `n` rows for a real matrix."""
        if field == "complex":
            return self._parts(n, dtype)
        if n % 2:
            expected, advice = 'of an even size with group="U"', _OF_COMPLEX
            raise _checks.error("shape", expected, (n, n), advice)
        return embedding(self._parts(n // 2, dtype))

    def _parts(self, n: int, dtype: str) -> Tensor:
        Z = self._normal((n, 2 * n), dtype)
        return through_embedding(linalg.polar_factor, Z)

    def get_config(self) -> dict[str, Any]:
        return {"group": self.group, **seed_of(self._normal)}
