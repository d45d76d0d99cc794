"""What the initializers may be asked for, and what an error says of the rest."""

from collections.abc import Sequence
from typing import Any

import keras

from keras_urnn import _checks, linalg


def checked(shape: Sequence[int], dtype: Any) -> tuple[int, str, str]:
    """The number of rows, the dtype, and that of the computation, or raise."""
    sizes = tuple(shape)
    if len(sizes) != 2 or sizes[0] != sizes[1]:
        advice = "It draws a recurrent matrix."
        raise _checks.error("shape", "square, (n, n)", sizes, advice)
    found = keras.backend.standardize_dtype(dtype)
    if found not in linalg.EPSILON:
        expected = "a floating dtype: " + ", ".join(linalg.EPSILON)
        raise _checks.error("dtype", expected, dtype, "It is that of the matrix.")
    return sizes[0], found, "float64" if found == "float64" else "float32"


def seed_of(inner: Any) -> dict[str, Any]:
    """The seed of one of Keras' own in a config."""
    return {"seed": inner.get_config()["seed"]}
