"""The form in which projections are computed: finite, precise, tall, of norm 1."""

from collections.abc import Callable

from keras import ops

from keras_urnn import _backend
from keras_urnn.linalg.iterations import Tensor, norm_bound


def in_working_form(
    function: Callable[..., Tensor], matrix: Tensor, *direction: Tensor
) -> Tensor:
    """`function(matrix, *direction)` of tall matrices, in at least float32.

    If `matrix` has an entry that is not finite, the last argument is returned, and the
    function gets the unit matrix instead: an SVD of an Inf may not end.
    """
    given = (matrix, *direction)
    dtype = ops.dtype(matrix)
    with _backend.full_precision():
        w, *directions = (ops.cast(x, _backend.product_dtype(dtype)) for x in given)
        finite = ops.all(ops.isfinite(w), axis=(-2, -1), keepdims=True)
        w = ops.where(finite, w, ops.eye(w.shape[-2], w.shape[-1], dtype=w.dtype))
        operands = (w, *directions)
        if w.shape[-2] < w.shape[-1]:
            result = transpose(function(*map(transpose, operands)))
        else:
            result = function(*operands)
    return ops.where(finite, ops.cast(result, dtype), given[-1])


def transpose(x: Tensor) -> Tensor:
    """`Xᵀ`."""
    return ops.swapaxes(x, -1, -2)


def largest_entry(x: Tensor) -> Tensor:
    """The largest magnitude of an entry, and 1 for the zero matrix: `(..., 1, 1)`."""
    largest = ops.max(ops.abs(x), axis=(-2, -1), keepdims=True)
    return ops.where(largest > 0.0, largest, ops.ones_like(largest))


def scaled_to_unit(x: Tensor) -> Tensor:
    """`X` divided by a bound of its norm, even if the norm overflows the dtype."""
    x = divided(x, largest_entry(x))
    return x / norm_bound(x)


def divided(a: Tensor | float, b: Tensor) -> Tensor:
    """`a / b` for positive `b` of any size.

    XLA multiplies by `1 / b`, and so does PyTorch if `a` is a number. For `b` near the
    ends of the dtype's range `1 / b` is 0 or Inf, so both are scaled by a power of two.
    """
    small = ops.where(b < 2.0**-64, 2.0**64, 1.0)
    scale = ops.cast(ops.where(b > 2.0**64, 2.0**-64, small), b.dtype)
    return (a * scale) / (b * scale)
