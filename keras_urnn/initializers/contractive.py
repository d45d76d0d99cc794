"""A random matrix of a given spectral norm."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import keras
from keras import ops

from keras_urnn import _checks
from keras_urnn._serialization import register
from keras_urnn.initializers.arguments import checked, seed_of, seeded
from keras_urnn.linalg import Tensor
from keras_urnn.linalg.complex_matrices import whole


@register
class ContractiveInitializer(keras.initializers.Initializer):
    """Draws a matrix whose spectral norm is a given number.

    Choose it for a `ContractiveRNN` that should start with singular values of all
    sizes: those of a projected orthogonal matrix are all `max_norm`.

    For a matrix `Z` of independent standard normal numbers,

        W = norm · Z / ‖Z‖₂

    whose norm is the number to rounding. Its other singular values are spread down to
    some `norm / n`. For a cell of complex states `Z` is complex, and `[A | B]` of shape
    `(n, 2n)` stands for `W = A + iB`.

    Args:
        norm: number in (0, 1]. The spectral norm. Defaults to `0.999`.
        seed: integer, `keras.random.SeedGenerator` or None, as in `Haar`. Defaults to
            `None`.

    Raises:
        ValueError: for a norm outside of (0, 1] or what is no seed, and in a call for
            a shape that is not `(n, n)` or `(n, 2n)`, or a dtype that is not of
            floating-point numbers.

    Example:
        ```python
        start = keras_urnn.initializers.ContractiveInitializer(0.9, seed=1)
        start((4, 4))  # shape (4, 4)
        ```
    """

    def __init__(self, norm: float = 0.999, seed: Any = None) -> None:
        self.norm = _checks.max_norm(norm, "norm")
        self._normal = seeded(partial(keras.initializers.RandomNormal, 0.0, 1.0), seed)

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> Tensor:
        _, field, dtype, wide = checked(shape, dtype)
        Z = self._normal(tuple(shape), wide)
        largest = ops.max(ops.svd(whole(Z, field), compute_uv=False))
        return ops.cast(self.norm * (Z / largest), dtype)

    def get_config(self) -> dict[str, Any]:
        return {"norm": self.norm, **seed_of(self._normal)}
