"""Products of matrices, and the iterations that consist of them."""

from collections.abc import Callable
from typing import Any

import keras


def matmul(a: Any, b: Any) -> Any:
    """`a @ b` in the dtype of the operands.

    `keras.ops.matmul` multiplies float64 matrices in float32 under PyTorch (Keras
    3.15.1: its type promotion has float64 on TensorFlow only). The operator does not.
    """
    return a @ b


def cubic(x: Any, linear: Any, third: Any) -> Any:
    """`linear X - third X³` of square matrices, by two products."""
    square = matmul(x, x)
    if keras.config.backend() == "torch" and len(x.shape) == 2:
        import torch

        # One operation instead of four. With few rows each of the four takes as long
        # as the product.
        return torch.addmm(x, x, square, beta=linear, alpha=-third)
    return linear * x - third * matmul(x, square)


def fold(step: Callable[..., Any], table: Any, first: Any, end: Any, x: Any) -> Any:
    """`x` after `x = step(x, *row)` with the rows `first` to `end - 1` of `table`.

    `table` is a NumPy array. On PyTorch the two indices become Python numbers once: a
    loop that waits for a GPU at each row would take longer than its steps.
    """
    if keras.config.backend() == "torch":
        for row in table[int(first) : int(end)].tolist():
            x = step(x, *row)
        return x
    ops = keras.ops
    rows = ops.convert_to_tensor(table, dtype=x.dtype)

    def body(k: Any, x: Any) -> tuple[Any, Any]:
        # Not `rows[k]`: then XLA would compile again for each new `k` on TensorFlow.
        return k + 1, step(x, *ops.unstack(ops.take(rows, k, axis=0)))

    return ops.while_loop(lambda k, x: k < end, body, (first, x))[1]
