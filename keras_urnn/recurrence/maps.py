"""The map from one state to the next, `h R`: by a dense product, or by a structure.

The tensors that the map is made of are passed in beside the structure, as a function
with a gradient of its own has to take them. Without a structure they are one matrix.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from keras import ops

from keras_urnn._backend.automatic_gradients import pullback
from keras_urnn.linalg import Tensor
from keras_urnn.recurrence.products import product, step_matmul

Linear = Callable[[Tensor], Tensor]


class Structure(NamedTuple):
    """A map that costs less than a product with its matrix.

    Attributes:
        apply: function of `h` and of the tuple of tensors that returns `h R`.
        apply_transposed: function of `h` and of the same tensors, that returns `h Rᵀ`.
    """

    apply: Callable[[Tensor, Any], Tensor]
    apply_transposed: Callable[[Tensor, Any], Tensor]


def forward(
    structure: Structure | None, tensors: Sequence[Tensor], written_out: bool
) -> Linear:
    """`h R` as a function of `h`."""
    if structure is not None:
        return lambda h: structure.apply(h, tuple(tensors))
    matrix = tensors[0]
    return lambda h: step_matmul(h, matrix, written_out)


def back(
    structure: Structure | None, tensors: Sequence[Tensor], written_out: bool
) -> Linear:
    """`δ Rᵀ` as a function of `δ`."""
    if structure is not None:
        return lambda delta: structure.apply_transposed(delta, tuple(tensors))
    transposed = ops.transpose(tensors[0])
    return lambda delta: step_matmul(delta, transposed, written_out)


def gradients(
    structure: Structure | None,
    tensors: Sequence[Tensor],
    states: Tensor,
    deltas: Tensor,
) -> tuple[Tensor, ...]:
    """The gradients of the tensors, summed over the steps of a block.

    That of a matrix is `Σ h_{t-1}ᵀ δ_t`. A structured map is differentiated once for
    the block, the steps being rows of one batch.
    """
    if structure is None:
        return (product(states, deltas),)
    h, delta = (ops.reshape(one, (-1, one.shape[-1])) for one in (states, deltas))

    def mapped(tensors: Sequence[Tensor]) -> Tensor:
        return structure.apply(h, tuple(tensors))

    return tuple(pullback(mapped, list(tensors), delta))
