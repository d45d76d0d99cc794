"""Gradients along the orthogonal matrices, without their part across."""

from keras import ops

from keras_urnn._backend import matmul
from keras_urnn._backend.own_derivative import with_derivative
from keras_urnn.linalg.complex_matrices import embedding, parts_of
from keras_urnn.linalg.iterations import Tensor
from keras_urnn.linalg.working_form import in_working_form, transpose


def with_tangent_gradient(kernel: Tensor, field: str) -> Tensor:
    """The kernel itself; a gradient for it is projected to the tangent space there.

    The kernel is a square matrix, or `[A | B]` of a complex one.
    """
    derivative = _complex_tangent_part if field == "complex" else tangent_part
    # PyTorch refuses a function that returns the tensor that it was given.
    result: Tensor = with_derivative(ops.copy, derivative)(kernel)
    return result


def tangent_part(matrix: Tensor, direction: Tensor) -> Tensor:
    """`G - R sym(Rᵀ G)` of a direction `G`, with `sym(M) = (M + Mᵀ) / 2`.

    It is linear in `G` and its own adjoint at each matrix `R`. At an orthogonal one it
    is the nearest tangent to `G`: `Rᵀ` times it is skew.
    """
    return in_working_form(_tangent_part, matrix, direction)


def _tangent_part(matrix: Tensor, direction: Tensor) -> Tensor:
    product = matmul(transpose(matrix), direction)
    return direction - matmul(matrix, 0.5 * (product + transpose(product)))


def _complex_tangent_part(parts: Tensor, direction: Tensor) -> Tensor:
    # The transpose of an embedding is that of the conjugate transpose.
    return parts_of(tangent_part(embedding(parts), embedding(direction)))
