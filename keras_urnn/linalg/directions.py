"""Vectors of norm 1 along given ones."""

from keras import ops

from keras_urnn.linalg.iterations import Tensor


def directions(vectors: Tensor, axis: int, of_zero: Tensor) -> Tensor:
    """Vectors along `axis` divided by their norm; `of_zero` for those of zeros.

    The gradient of a vector of zeros is 0. Dividing by the largest entry first keeps
    the norm of a vector of any size within the dtype.

    Args:
        vectors: tensor.
        axis: integer.
        of_zero: tensor of vectors of norm 1, of a shape that broadcasts.
    """
    size = ops.max(ops.abs(vectors), axis=axis, keepdims=True)
    largest = ops.stop_gradient(size)
    is_zero = largest == 0.0
    safe = ops.where(is_zero, ops.ones_like(largest), largest)
    scaled = ops.where(is_zero, of_zero, vectors / safe)
    return scaled / ops.sqrt(ops.sum(ops.square(scaled), axis=axis, keepdims=True))
