"""The fused recurrence: a scan over the steps, and a backward pass derived by hand."""

from collections.abc import Sequence

from keras import ops

from keras_urnn._backend.derivatives import ON_SECOND_HALF
from keras_urnn._backend.engines import own_engine
from keras_urnn.linalg import Tensor
from keras_urnn.recurrence import blocks
from keras_urnn.recurrence.derivatives import DERIVATIVES
from keras_urnn.recurrence.maps import Structure
from keras_urnn.recurrence.rules import readable_name
from keras_urnn.recurrence.schedule import block_length

__all__ = [
    "DERIVATIVES",
    "ON_SECOND_HALF",
    "Structure",
    "fused_recurrence",
    "readable_name",
]


def fused_recurrence(
    x: Tensor,
    kernel: Tensor,
    bias: Tensor,
    tensors: Sequence[Tensor],
    start: Tensor,
    *,
    activation: str,
    trained: Sequence[Tensor] = (),
    structure: Structure | None = None,
    mask: Tensor | None = None,
    return_sequences: bool = False,
    checkpoint_every: int | None = None,
) -> tuple[Tensor | None, Tensor]:
    """The states of `h_t = φ(x_t K + b + h_{t-1} R)`, with its own gradient.

    The steps are cut into blocks. One product projects all inputs of a block, so that
    the loop over its steps computes `h R` and `φ` only. (Under XLA few features are
    projected in the loop, and `h R` of few units is a sum.) The backward pass reads
    `φ'` from the states. From the last step to the first it needs one product for each
    step:

        δ_t = φ'(z_t)∘g_t,    g_{t-1} = ∂L/∂h_{t-1} + δ_t Rᵀ

    The gradients of the weights take two products for each block, over all its steps
    and sequences: `dR = Σ h_{t-1}ᵀ δ_t`, and `dK = Σ x_tᵀ δ_t` together with
    `db = Σ δ_t`, as the bias is the last row of the kernel and each `x_t` ends with a
    1. If the blocks are few, XLA computes these products on another core, beside the
    loop of the next block. Where the mask is False a step is left out: `h_t = h_{t-1}`.

    A structured map has its own functions for `h R` and `δ Rᵀ`. Instead of `dR` the
    derivative of `h R` is taken once for each block, over all its steps. The weights
    of `φ` have gradients that are read from `δ` and the states, likewise.

    On PyTorch with a GPU cuDNN runs ReLU and tanh, in full float32, unless there is a
    mask, `checkpoint_every` or a structured map.

    Args:
        x: tensor of shape `(batch, steps, features)`, at least one step.
        kernel: tensor `K` of shape `(features, width)`.
        bias: tensor `b` of shape `(width,)`.
        tensors: what the map `h R` is made of. Without a structure one tensor, `R` of
            shape `(width, width)`.
        start: tensor `h_0` of shape `(batch, width)`.
        activation: string, `φ`: what `readable_name` calls it. After `ON_SECOND_HALF`
            it acts on the second half of a state, and the identity on the first.
        trained: the weights of `φ`, tensors. Defaults to `()`.
        structure: functions of `h` and `tensors` for `h R` and `h Rᵀ`, or None for
            products with the matrix. Defaults to `None`.
        mask: boolean tensor of shape `(batch, steps)` or None. Defaults to `None`.
        return_sequences: boolean. Whether to return all states. Defaults to `False`.
        checkpoint_every: integer `k` or None. Keep every `k`-th state only, and
            compute the others once more in the backward pass. Defaults to `None`.

    Returns:
        The states of all steps, of shape `(batch, steps, width)`, or None; and the
        last one, of shape `(batch, width)`.
    """
    x = ops.swapaxes(x, 0, 1)
    if mask is not None:
        mask = ops.expand_dims(ops.swapaxes(mask, 0, 1), -1)
    run = own_engine() or blocks.run
    states, last = run(
        *(x, kernel, bias, tensors, trained, start, mask),
        structure=structure,
        activation=activation,
        return_sequences=return_sequences,
        block=checkpoint_every or block_length(x.shape[0], kernel.shape[1]),
        recompute=checkpoint_every is not None,
    )
    return None if states is None else ops.swapaxes(states, 0, 1), last
