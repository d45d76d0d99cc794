"""Complex inputs to a cell of complex states, as real numbers."""

import keras
from keras import ops

from keras_urnn.linalg import Tensor
from keras_urnn.linalg.complex_matrices import embedding


def is_complex(tensor: Tensor) -> bool:
    """Whether a tensor is of complex numbers."""
    return keras.backend.standardize_dtype(tensor.dtype).startswith("complex")


def twice(numbers: Tensor) -> Tensor:
    """A real number for each complex one, for both of its parts."""
    return ops.concatenate([numbers, numbers], axis=-1)


def real_product(x: Tensor, kernel: Tensor) -> tuple[Tensor, Tensor]:
    """Real factors of `x K`, which for `K` as `[A | B]` is `[Re x K | Im x K]`.

    Complex inputs become `[Re x | Im x]`, and `K` the matrix `[[A, B], [-B, A]]` that
    acts on them. Real ones, and their kernel, are returned as they are.
    """
    if not is_complex(x):
        return x, kernel
    return ops.concatenate([ops.real(x), ops.imag(x)], axis=-1), embedding(kernel)
