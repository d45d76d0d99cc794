"""TensorFlow's own loop over the first axis of tensors."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import tensorflow as tf

# How many rounds of a loop TensorFlow may run at once, if `ahead`. Ten rounds, its
# default, were no faster and took more memory ("Memory on TensorFlow without XLA",
# docs/performance.md of commit fdb0ec0). For one round see `_AHEAD_WIDTH` in
# `recurrence.schedule`.
_ROUNDS_AT_ONCE = 2


class Slices:
    """A `TensorArray` together with the static shape of its slices, which it loses."""

    def __init__(self, array: Any, shape: Any) -> None:
        self.array, self.shape = array, shape

    def stack(self, length: int | None) -> Any:
        tensor = self.array.stack()
        tensor.set_shape((length, *self.shape))
        return tensor

    def __getitem__(self, at: Any) -> Any:
        tensor = self.array.read(at)
        tensor.set_shape(self.shape)
        return tensor


def loop(
    step: Any,
    carry: Any,
    inputs: Sequence[Any],
    *,
    outputs: int,
    reverse: bool,
    ahead: bool,
    unwritten: Any,
) -> tuple[Any, tuple[Slices, ...]]:
    """What `loops.scan` does, with the outputs left as `Slices`.

    `unwritten` is a tensor that the outputs are before they are written, or None.
    """
    length = inputs[0].shape[0]
    if length is None:
        length = tf.shape(inputs[0])[0]
    shapes: list[Any] = []

    def body(i: Any, carry: Any, arrays: Any) -> tuple[Any, Any, Any]:
        at = length - 1 - i if reverse else i
        new, row = step(carry, tuple(one[at] for one in inputs))
        shapes[:] = [out.shape for out in row]
        tf.nest.map_structure(_take_shape, new, carry)
        written = [a.write(at, out) for a, out in zip(arrays, row, strict=True)]
        return i + 1, new, tuple(written)

    _, carry, arrays = tf.while_loop(
        _always,
        body,
        (0, carry, _arrays(inputs[0].dtype, length, outputs, unwritten)),
        maximum_iterations=length,
        parallel_iterations=_ROUNDS_AT_ONCE if ahead else 1,
    )
    return carry, tuple(map(Slices, arrays, shapes))


def _always(*_: Any) -> bool:
    """The condition of a loop that ends after a number of rounds.

    XLA then has nothing to evaluate before each round.
    """
    return True


def _take_shape(new: Any, carry: Any) -> None:
    """Give `new` the static shape of the carry before it.

    A loop refuses a carry whose static shape is known in one round and not in another.
    """
    new.set_shape(carry.shape)


def _arrays(dtype: Any, length: Any, count: int, unwritten: Any) -> tuple[Any, ...]:
    # `Slices` reads a row a second time, in the backward pass.
    new = partial(tf.TensorArray, dtype, size=length, clear_after_read=False)
    arrays = [new() for _ in range(count)]
    if unwritten is not None:
        arrays = [array.unstack(unwritten) for array in arrays]
    return tuple(arrays)
