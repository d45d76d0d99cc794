"""A recurrence with a skip as one without, of states twice as wide.

The two parts of a step are states of their own, `p_t = (1-β) h_{t-1} R` and
`a_t = φ(h_{t-1} V + x_t K + b)`. With `h_t = p_t + β a_t` the step of `[p | a]` is

    [p_t | a_t] = ψ(h_{t-1} [(1-β) R | V] + [0 | x_t K + b]),

where `ψ` is the identity on the first half and `φ` on the second. The derivative of `φ`
can be read from `a_t`, as it could not from `h_t`.
"""

from typing import Any

from keras import ops

from keras_urnn._backend import matmul
from keras_urnn.linalg import Tensor
from keras_urnn.recurrence import Structure

Tensors = tuple[Tensor, ...]


def map_of(cell: Any) -> tuple[Structure, Tensors]:
    """The map of such a state, and its tensors: `[(1-β) R | V]`, and a trained `β`.

    In float32 at least. A `β` that is fixed is a number of the structure, as its
    gradient would take a product of matrices.
    """
    beta, *kernel = cell.skip.prepare(cell)
    matrix = ops.cast(cell.recurrent_matrix(), beta.dtype)
    seen = ops.cast(kernel[0], beta.dtype) if kernel else ops.zeros_like(matrix)
    both = ops.concatenate([(1.0 - beta) * matrix, seen], axis=-1)

    def apply(states: Tensor, tensors: Tensors) -> Tensor:
        return matmul(joined(states, cell, tensors), tensors[0])

    def apply_transposed(delta: Tensor, tensors: Tensors) -> Tensor:
        to_h = matmul(delta, ops.transpose(tensors[0]))
        return ops.concatenate([to_h, _beta(cell, tensors) * to_h], axis=-1)

    tensors = (both, beta) if cell.skip.trainable else (both,)
    return Structure(apply, apply_transposed), tensors


def joined(states: Tensor, cell: Any, tensors: Tensors) -> Tensor:
    """`h = p + β a` of states `[p | a]`, of any number of axes."""
    width = states.shape[-1] // 2
    return states[..., :width] + _beta(cell, tensors) * states[..., width:]


def _beta(cell: Any, tensors: Tensors) -> Any:
    return tensors[1] if cell.skip.trainable else cell.skip.beta


def after_zeros(tensor: Tensor) -> Tensor:
    """`[0 | x]`, for what enters the activation only."""
    return ops.concatenate([ops.zeros_like(tensor), tensor], axis=-1)


def before_zeros(start: Tensor) -> Tensor:
    """`[h_0 | 0]`, of which the state is `h_0`."""
    return ops.concatenate([start, ops.zeros_like(start)], axis=-1)
