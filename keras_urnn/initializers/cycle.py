"""The cyclic permutation of the states."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_urnn._serialization import register
from keras_urnn.initializers.arguments import checked
from keras_urnn.linalg import Tensor
from keras_urnn.linalg.complex_matrices import of_real


@register
class Cycle(keras.initializers.Initializer):
    """The matrix that hands the state of each unit on to the next one.

        W[i, (i + 1) mod n] = 1,    all else 0

    It is orthogonal, and `h W` is not negative where `h` isn't, so that ReLU leaves the
    states alone: a ReLU network that starts from it has a long memory, where one that
    starts from a random orthogonal matrix has none. The recipe of this library for
    permuted pixels starts here. For a cell of complex states, which asks for `[A | B]`,
    it is `A`, and `B` is 0.

    Raises:
        ValueError: in a call, for a shape that is not `(n, n)` or `(n, 2n)`, or a dtype
            that is not of floating-point numbers.

    Example:
        ```python
        cycle = keras_urnn.initializers.Cycle()
        cycle((4, 4))  # shape (4, 4)
        ```

    Reference:
        - [Rodan and Tiňo, 2011](https://doi.org/10.1109/TNN.2010.2089641)
    """

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> Tensor:
        n, field, dtype, _ = checked(shape, dtype)
        return of_real(ops.roll(ops.eye(n, dtype=dtype), 1, axis=1), field)
