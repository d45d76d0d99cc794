"""Loops over the first axis of tensors, as each backend runs them fastest."""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import keras
from keras import ops

from keras_urnn._backend.engines import compiles_with_xla, writes_out

Step: TypeAlias = Callable[[Any, tuple[Any, ...]], tuple[Any, tuple[Any, ...]]]

# TensorFlow without XLA writes out the steps of an inner loop up to this length, and
# runs its own loop beyond it. Only `checkpoint_every` makes blocks of more than 20
# steps there, so only such layers see the difference. Chosen by hand (commit 58bef4e)
# and not timed by itself. A larger number takes longer to trace and compile, a smaller
# one pays for the rounds of TensorFlow's loop: ten small operations each.
_LONGEST_WRITTEN_OUT = 64


def scan(
    step: Step,
    carry: Any,
    inputs: Sequence[Any],
    *,
    outputs: int,
    reverse: bool = False,
    inner: bool = False,
    stacked: bool = True,
    ahead: bool = True,
) -> tuple[Any, tuple[Any, ...]]:
    """`carry, (outputs[t], ...) = step(carry, (inputs[t], ...))` for each `t`.

    `keras.ops.scan` takes no tuples of outputs on TensorFlow, and has no gradient under
    XLA there. The steps of an `inner` loop are written out unless XLA compiles them:
    each round of TensorFlow's own loop costs as much as ten small operations. PyTorch
    has no loop of its own, and takes inner loops only.

    Args:
        step: function of a carry and a tuple of slices. It returns the next carry and
            a tuple of outputs.
        carry: tensor, or nested tuples of tensors.
        inputs: tensors of one dtype with the same first axis.
        outputs: integer, the number of tensors that `step` returns beside the carry.
            They have the dtype of the inputs.
        reverse: boolean. Whether to go from the last slice to the first. Defaults to
            `False`.
        inner: boolean. Whether this is the innermost of several loops. The outputs of
            its steps then have the shape of the carry, or of the carry's first tensor.
            Defaults to `False`.
        stacked: boolean. Whether the outputs must be tensors. If not, they may be
            objects that only another `scan` can read, after its first input, which
            saves TensorFlow a copy of all of them. Defaults to `True`.
        ahead: boolean. Whether TensorFlow may begin a round before the round before it
            has ended. That saves time if the steps are small. If they are large it
            costs memory only, as two rounds are then in memory at the same time.
            Defaults to `True`.

    Returns:
        The last carry, and the outputs stacked along a new first axis.
    """
    length = inputs[0].shape[0]
    short = inner and length is not None and length <= _LONGEST_WRITTEN_OUT
    if keras.config.backend() == "torch":
        from keras_urnn._backend import torch_loop

        return torch_loop.loop(step, carry, inputs, reverse=reverse)
    if length == 1 or (short and writes_out()):
        return _written_out(step, carry, inputs, outputs, reverse)
    if keras.config.backend() == "jax":
        import jax

        return jax.lax.scan(step, carry, tuple(inputs), reverse=reverse)
    from keras_urnn._backend import tensorflow_loop

    unwritten = _unwritten(carry, inputs) if inner and compiles_with_xla() else None
    carry, kept = tensorflow_loop.loop(
        *(step, carry, inputs),
        outputs=outputs,
        reverse=reverse,
        ahead=ahead,
        unwritten=unwritten,
    )
    return carry, tuple(one.stack(length) for one in kept) if stacked else kept


def traced_once(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` of tensors, traced at its first call and called after that.

    For what a compiled step calls many times on tensors of the same shapes: XLA then
    gets the same program in less time. On PyTorch it is the function itself.
    """
    backend = keras.config.backend()
    if backend == "jax":
        import jax

        return jax.jit(function)
    if backend == "tensorflow":
        import tensorflow as tf

        traced: Callable[..., Any] = tf.function(function, autograph=False)
        return traced
    return function


def _written_out(
    step: Step, carry: Any, inputs: Sequence[Any], outputs: int, reverse: bool
) -> tuple[Any, tuple[Any, ...]]:
    slices = list(zip(*(ops.unstack(tensor) for tensor in inputs), strict=True))
    rows: list[tuple[Any, ...]] = []
    for one in reversed(slices) if reverse else slices:
        carry, row = step(carry, one)
        rows.append(row)
    if reverse:
        rows.reverse()
    return carry, tuple(ops.stack([row[i] for row in rows]) for i in range(outputs))


def _unwritten(carry: Any, inputs: Sequence[Any]) -> Any:
    """The outputs of an inner loop before XLA writes them: a tensor of any numbers.

    XLA would allocate zeros for all loops before the first one begins, and keep them.
    A tensor that depends on the carry is allocated when its loop begins, in the memory
    of loops that have ended.
    """
    first = keras.tree.flatten(carry)[0]
    shape = (ops.shape(inputs[0])[0], *ops.shape(first))
    return ops.broadcast_to(first[None, :1, :1], shape)
