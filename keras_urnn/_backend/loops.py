"""Loops over the first axis of tensors, as TensorFlow and JAX run them fastest."""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import keras
from keras import ops

Step: TypeAlias = Callable[[Any, tuple[Any, ...]], tuple[Any, tuple[Any, ...]]]

# Outside of XLA an inner loop up to this long is written out step by step.
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

    `keras.ops.scan` takes no tuples of outputs on TensorFlow. There the steps of an
    `inner` loop are written out unless XLA compiles them: each round of TensorFlow's
    own loop costs as much as ten small operations.

    Args:
        step: takes a carry and a tuple of slices, gives the next and a tuple.
        carry: tensor, or tuple of tensors.
        inputs: tensors of one dtype with the same first axis.
        outputs: integer, how many tensors a step gives, of the dtype of the inputs.
        reverse: boolean. From the last slice to the first. Defaults to `False`.
        inner: boolean. Whether this is the innermost of several loops; what its steps
            give then has the shape of the carry, or of the first of them. Defaults to
            `False`.
        stacked: boolean. Whether the outputs must be tensors. If not they may be what
            only another `scan` takes, after its first input, which saves TensorFlow a
            copy of them all. Defaults to `True`.
        ahead: boolean. Whether TensorFlow may begin a round before the one before it is
            done. It saves time where the steps are small, and where they are large
            takes memory only: that of two rounds lies in between what is kept.
            Defaults to `True`.

    Returns:
        The last carry, and the outputs stacked along a new first axis.
    """
    length = inputs[0].shape[0]
    short = inner and length is not None and length <= _LONGEST_WRITTEN_OUT
    if length == 1 or (short and writes_out()):
        return _written_out(step, carry, inputs, outputs, reverse)
    if keras.config.backend() == "jax":
        import jax

        return jax.lax.scan(step, carry, tuple(inputs), reverse=reverse)
    unwritten = _unwritten(carry, inputs) if inner and compiles_with_xla() else None
    carry, kept = _tensorflow_loop(
        step, carry, inputs, outputs, reverse, ahead, unwritten
    )
    return carry, tuple(one.stack(length) for one in kept) if stacked else kept


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


class _Slices:
    """A `TensorArray`, and the static shape of its slices, which it forgets."""

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


def _tensorflow_loop(
    step: Step,
    carry: Any,
    inputs: Sequence[Any],
    outputs: int,
    reverse: bool,
    ahead: bool,
    unwritten: Any,
) -> tuple[Any, tuple[Any, ...]]:
    import tensorflow as tf

    length = inputs[0].shape[0]
    if length is None:
        length = tf.shape(inputs[0])[0]

    shapes: list[Any] = []

    def body(i: Any, carry: Any, arrays: Any) -> tuple[Any, Any, Any]:
        at = length - 1 - i if reverse else i
        new, row = step(carry, tuple(one[at] for one in inputs))
        shapes[:] = [out.shape for out in row]
        # What only one of them knows of its static shape is no change of shape.
        tf.nest.map_structure(lambda a, b: a.set_shape(b.shape), new, carry)
        written = [a.write(at, out) for a, out in zip(arrays, row, strict=True)]
        return i + 1, new, tuple(written)

    arrays = tuple(
        tf.TensorArray(inputs[0].dtype, size=length, clear_after_read=False)
        for _ in range(outputs)
    )
    if unwritten is not None:
        arrays = tuple(array.unstack(unwritten) for array in arrays)
    _, carry, arrays = tf.while_loop(
        # Nothing but a number of rounds, which XLA then need not ask for in each.
        lambda *_: True,
        body,
        (0, carry, arrays),
        maximum_iterations=length,
        # Ten rounds at once, as by default, are no faster than two, and hold more.
        parallel_iterations=2 if ahead else 1,
    )
    return carry, tuple(map(_Slices, arrays, shapes))


def _unwritten(carry: Any, inputs: Sequence[Any]) -> Any:
    """What the outputs of an inner loop are before XLA writes them: any numbers.

    Zeros XLA would make for all loops before the first of them, and keep. What depends
    on the carry begins with its loop, in the memory of those that are done.
    """
    first = keras.tree.flatten(carry)[0]
    shape = (ops.shape(inputs[0])[0], *ops.shape(first))
    return ops.broadcast_to(first[None, :1, :1], shape)


def writes_out() -> bool:
    """Whether a short inner loop is written out: under TensorFlow without XLA."""
    return keras.config.backend() == "tensorflow" and not compiles_with_xla()


def runs_side_by_side() -> bool:
    """Whether two loops that do not need each other run at once, on two cores.

    XLA's run one after the other; on a GPU one loop has all of it.
    """
    if not writes_out():
        return False
    import tensorflow as tf

    return not tf.config.list_physical_devices("GPU")


def compiles_with_xla() -> bool:
    """Whether TensorFlow is tracing a function for XLA (`jit_compile=True`).

    TensorFlow says so nowhere in public; where it stops saying so in private, loops
    are written out, which is slower and right.
    """
    import tensorflow as tf

    graph = None if tf.executing_eagerly() else tf.compat.v1.get_default_graph()
    while graph is not None:
        find = getattr(graph, "_get_control_flow_context", lambda: None)
        context = find()
        while context is not None:
            if context.IsXLAContext():
                return True
            context = context.outer_context
        graph = getattr(graph, "outer_graph", None)
    return False
