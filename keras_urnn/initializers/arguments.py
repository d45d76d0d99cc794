"""What the initializers may be asked for, and what an error says of the rest."""

from collections.abc import Callable, Sequence
from typing import Any

import keras

from keras_urnn import _checks, linalg


def checked(shape: Sequence[int], dtype: Any) -> tuple[int, str, str, str]:
    """The number of rows, the field, the dtype, and that of the computation, or raise.

    A cell of complex states asks for `[A | B]`, of shape `(n, 2n)`.
    """
    sizes = tuple(shape)
    if len(sizes) != 2 or sizes[1] not in (sizes[0], 2 * sizes[0]):
        advice = "It draws a recurrent matrix; of complex states [A | B], (n, 2n)."
        raise _checks.error("shape", "square, (n, n)", sizes, advice)
    found = keras.backend.standardize_dtype(dtype)
    if found not in linalg.EPSILON:
        expected = "a floating dtype: " + ", ".join(linalg.EPSILON)
        raise _checks.error("dtype", expected, dtype, "It is that of the matrix.")
    field = "real" if sizes[0] == sizes[1] else "complex"
    return sizes[0], field, found, "float64" if found == "float64" else "float32"


def seeded(make: Callable[..., Any], seed: Any) -> Any:
    """One of Keras' own initializers, which knows what a seed is, or raise."""
    expected = "None, an integer in [0, 2**31) or a keras.random.SeedGenerator"
    problem = _checks.error("seed", expected, seed, "It decides what is drawn.")
    if _checks.is_integer(seed):
        seed = int(seed)
        if not 0 <= seed < 2**31:  # as on JAX, which has none below 0
            raise problem
    elif not isinstance(seed, dict | keras.random.SeedGenerator | None):
        raise problem
    try:
        inner = make(seed=seed)
    except (AttributeError, KeyError, TypeError, ValueError) as cause:
        raise problem from cause  # a dict that is no config of a generator
    if not isinstance(inner.seed, int | keras.random.SeedGenerator):
        raise problem
    return inner


def seed_of(inner: Any) -> dict[str, Any]:
    """The seed of one of Keras' own in a config."""
    return {"seed": inner.get_config()["seed"]}
