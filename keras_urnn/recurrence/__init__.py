"""The fused recurrence: a scan over the steps, and a backward pass derived by hand."""

import keras
from keras import ops

from keras_urnn._backend.loops import writes_out
from keras_urnn.linalg import Tensor
from keras_urnn.recurrence.blocks import Blocks
from keras_urnn.recurrence.derivatives import DERIVATIVES, readable_name

__all__ = ["DERIVATIVES", "fused_recurrence", "readable_name"]

# How many steps are projected, and enter one product of the backward pass, together.
_BLOCK = 64
# From such a width on the products of a block are worth another core, and beyond it a
# step is long enough for no round of a loop to be begun ahead. So many blocks XLA
# compiles one by one, apart, to take them beside the next block's loop.
_BESIDE = 64
_APART = 16
_WRITTEN_OUT_BLOCK = 20  # beyond, slower by memory and by what is compiled
_UNKNOWN_BLOCK = 20  # of a number of steps that is not known: the last block is padded


def fused_recurrence(
    x: Tensor,
    kernel: Tensor,
    bias: Tensor,
    matrix: Tensor,
    start: Tensor,
    *,
    activation: str,
    mask: Tensor | None = None,
    return_sequences: bool = False,
    checkpoint_every: int | None = None,
) -> tuple[Tensor | None, Tensor]:
    """The states of `h_t = φ(x_t K + b + h_{t-1} R)`, with its own gradient.

    The steps are taken in blocks. Of a block all inputs are projected in one product;
    then a loop is left with `h R` and `φ`. (Under XLA few features are projected in
    the loop, and `h R` of few units is a sum.) The backward pass reads `φ'` from the
    states, and from the last step to the first needs one product of a step only:

        δ_t = φ'(z_t)∘g_t,    g_{t-1} = ∂L/∂h_{t-1} + δ_t Rᵀ

    the gradients of a block's weights are `dR = Σ h_{t-1}ᵀ δ_t`, one product over all
    its steps and sequences, and `dK = Σ x_tᵀ δ_t` with `db = Σ δ_t`, together another:
    the bias is the last row of the kernel, and each `x_t` ends with a 1. XLA takes them
    on another core beside the next block's loop, as long as the blocks are few. Where
    the mask is False a step is left out: `h_t = h_{t-1}`.

    On PyTorch with a GPU cuDNN runs ReLU and tanh, in full float32, unless there is a
    mask or `checkpoint_every`.

    Args:
        x: tensor of shape `(batch, steps, features)`, at least one step.
        kernel: tensor `K` of shape `(features, width)`.
        bias: tensor `b` of shape `(width,)`.
        matrix: tensor `R` of shape `(width, width)`.
        start: tensor `h_0` of shape `(batch, width)`.
        activation: string, `φ`: a key of `DERIVATIVES`.
        mask: boolean tensor of shape `(batch, steps)` or None. Defaults to `None`.
        return_sequences: boolean. Whether to return all states. Defaults to `False`.
        checkpoint_every: integer `k` or None. Keep every `k`-th state only, and
            compute the others once more on the way back. Defaults to `None`.

    Returns:
        The states of all steps, of shape `(batch, steps, width)`, or None; and the
        last one, of shape `(batch, width)`.
    """
    x = ops.swapaxes(x, 0, 1)
    if mask is not None:
        mask = ops.expand_dims(ops.swapaxes(mask, 0, 1), -1)
    steps = x.shape[0]
    width = matrix.shape[0]
    block = checkpoint_every or _even_block(steps, _longest_block(steps, width))
    recompute = checkpoint_every is not None
    if keras.config.backend() == "torch":
        from keras_urnn._backend import cudnn_recurrence, torch_recurrence

        arguments = (x, kernel, bias, matrix, start, mask)
        settings = torch_recurrence.Settings(
            activation,
            return_sequences,
            block,
            recompute,
            torch_recurrence.differentiable(x, kernel, bias, matrix, start),
        )
        on_cudnn = cudnn_recurrence.takes(x, mask, settings)
        module = cudnn_recurrence if on_cudnn else torch_recurrence
        states, last = module.run(*arguments, settings)
    else:
        few = steps is not None and steps <= _APART * block
        apart = few and width >= _BESIDE and not recompute and not writes_out()
        ahead = width <= _BESIDE
        blocks = Blocks(activation, return_sequences, block, recompute, apart, ahead)
        count = ops.shape(x)[0]
        if steps is None:
            x, mask = _padded(x, mask, block)
        states, last = blocks.run(x, kernel, bias, matrix, start, mask)
        if steps is None and states is not None:
            states = states[:count]
    return None if states is None else ops.swapaxes(states, 0, 1), last


def _padded(x: Tensor, mask: Tensor | None, block: int) -> tuple[Tensor, Tensor]:
    """A number of steps that is not known, made one of whole blocks.

    What is added is masked, so that it changes nothing. Loops of no rounds, as blocks
    and a rest would have, TensorFlow does not allow everywhere.
    """
    steps, batch, features = ops.shape(x)
    more = -steps % block
    zeros = ops.zeros((more, batch, features), dtype=x.dtype)
    if mask is None:
        mask = ops.ones((steps, batch, 1), dtype="bool")
    nothing = ops.zeros((more, batch, 1), dtype="bool")
    return ops.concatenate([x, zeros]), ops.concatenate([mask, nothing])


def _longest_block(steps: int | None, width: int) -> int:
    """From 64 units on the narrower, the longer, up to a fourth of the steps."""
    if steps is None:
        return _UNKNOWN_BLOCK
    if writes_out():
        return _WRITTEN_OUT_BLOCK
    if width < _BESIDE or keras.config.backend() == "torch":
        return _BLOCK
    return max(_BLOCK, min(_BLOCK * 128**2 // width**2, steps // 4))


def _even_block(steps: int | None, longest: int) -> int:
    """At most `longest` steps; a divisor of `steps` where there is one of that size."""
    if steps is None:
        return longest
    sizes = range(longest, longest // 2, -1)
    return next((k for k in sizes if steps % k == 0), min(longest, steps))
