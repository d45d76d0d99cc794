"""The axis of the steps cut into blocks and joined again, the batch into halves."""

from collections.abc import Iterator

from keras import ops

from keras_urnn.linalg import Tensor


def segments(tensor: Tensor, block: int, apart: bool) -> list[Tensor]:
    """Cut the first axis into blocks: tensors of shape `(blocks, steps, ...)`.

    These are the whole blocks, and a shorter one with the steps that are left; `apart`
    gives each block a tensor, and so a loop, of its own. A number of steps that is not
    known yet is a multiple of `block`.
    """
    shape = ops.shape(tensor)
    steps, rest = shape[0], tuple(shape[1:])
    if apart:
        return [tensor[i : i + block][None] for i in range(0, steps, block)]
    count = steps // block
    cut = count * block
    whole = ops.reshape(tensor[:cut], (count, block, *rest))
    if not isinstance(steps, int) or cut == steps:
        return [whole]
    left = ops.expand_dims(tensor[cut:], 0)
    return [whole, left] if count else [left]


def joined(parts: list[Tensor]) -> Tensor:
    """The inverse of `segments`: all steps along one axis."""
    flat = []
    for tensor in parts:
        count, block, *rest = ops.shape(tensor)
        flat.append(ops.reshape(tensor, (count * block, *rest)))
    return flat[0] if len(flat) == 1 else ops.concatenate(flat, axis=0)


def delayed(tensor: Tensor) -> Tensor:
    """At each step the row of the step before it, and zeros at the first step."""
    return ops.concatenate([ops.zeros_like(tensor[:1]), tensor[:-1]], axis=0)


def padded(x: Tensor, mask: Tensor | None, block: int) -> tuple[Tensor, Tensor]:
    """Inputs and mask with masked steps at the end, up to a multiple of `block`.

    For a number of steps that is unknown at tracing. Masked steps change nothing. A
    shorter last block would not do: its loop may have no rounds, which TensorFlow does
    not allow everywhere.
    """
    steps, batch, features = ops.shape(x)
    more = -steps % block
    zeros = ops.zeros((more, batch, features), dtype=x.dtype)
    if mask is None:
        mask = ops.ones((steps, batch, 1), dtype="bool")
    masked = ops.zeros((more, batch, 1), dtype="bool")
    return ops.concatenate([x, zeros]), ops.concatenate([mask, masked])


def halves(tensor: Tensor) -> Iterator[Tensor]:
    """The halves of the batch, the last axis but one. The first may be empty."""
    half = ops.shape(tensor)[-2] // 2
    yield tensor[..., :half, :]
    yield tensor[..., half:, :]
