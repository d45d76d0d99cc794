"""What weights decide about the shapes of data, checked before the recurrence.

Operations of JAX, and of TensorFlow under XLA, take slices and broadcast where shapes
differ: missing features would count as zeros, and surplus ones would be dropped.
"""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_urnn import _checks, _numbers
from keras_urnn.layers.complex_inputs import is_complex
from keras_urnn.linalg import Tensor

MOST_ROWS = 2**24  # of a batch: the states of more take gigabytes
_REAL = ("bool", "int", "uint", "float", "bfloat")
_ADVICE = {
    "sequences": "It was built for that many features (and, where it is stateful, for "
    "that batch); make another layer for other data.",
    "initial_state": "Each sequence has a row of its own.",
    "mask": "It has an entry for each step, and one row for each sequence or for all.",
    "sequence": "It was built for so many features; make another cell for other data.",
    "states": "`get_initial_state(batch_size)` makes them.",
}


def fitted_sequences(layer: Any, sequences: Tensor) -> Tensor:
    """The sequences, refused where they don't fit the weights or the states.

    An axis that TensorFlow doesn't know yet gets the size that it must have, by an
    operation that fails at any other size.
    """
    features = layer.cell.kernel.shape[0]
    batch = layer.states[0].shape[0] if layer.stateful else None
    expected = (batch, None, features)
    complex_too = layer.cell.field == "complex"
    _refuse_other("sequences", sequences, expected, layer.name, complex_too)
    known = tuple(sequences.shape)
    if known[1] == 0:
        raise ValueError(
            f"`sequences` of '{layer.name}' must have at least one step. Received: a "
            f"tensor of shape {known}. Leave empty sequences out, or pad and mask them."
        )
    if known[-1] is not None and (batch is None or known[0] is not None):
        return sequences
    count, steps, _ = ops.shape(sequences)
    rows = count if batch is None else batch
    return ops.reshape(sequences, (rows, steps, features))


def fitted_states(layer: Any, states: Sequence[Any], sequences: Tensor) -> list[Tensor]:
    """The states of one row for each sequence; likewise."""
    fitted = []
    batch = sequences.shape[0]
    for state in states:
        tensor = _real_tensor("initial_state", state, layer.name)
        _refuse_other("initial_state", tensor, (batch, None), layer.name)
        if None in (batch, tensor.shape[0]):
            tensor = _tied(tensor, sequences[:, 0, :1])
        fitted.append(tensor)
    return fitted


def fitted_mask(layer: Any, mask: Any, sequences: Tensor) -> Tensor:
    """The mask of one entry for each step; likewise. One row is that of all sequences.

    Of booleans.
    """
    mask = _real_tensor("mask", mask, layer.name)
    batch, steps, _ = sequences.shape
    if len(mask.shape) == 2 and mask.shape[0] == 1 != batch:
        mask = ops.broadcast_to(mask, (ops.shape(sequences)[0], ops.shape(mask)[1]))
    _refuse_other("mask", mask, (batch, steps), layer.name)
    mask = ops.cast(mask, "bool")
    if None in (batch, steps, *mask.shape):
        mask = _tied(mask[..., None], sequences[..., :1])[..., 0]
    return mask


def check_step(cell: Any, sequence: Tensor, states: Any) -> None:
    """Refuse what a cell can't take in one step, by the shapes that are known."""
    given, widths = states, cell.state_size
    if not isinstance(states, (list, tuple)):
        given, widths = [states], cell.width  # all states in one tensor
    widths = widths if isinstance(widths, list) else [widths]
    if len(given) != len(widths):
        raise ValueError(
            f"`states` of '{cell.name}' must be {len(widths)} of widths {widths}. "
            f"Received: {len(given)} states. {_ADVICE['states']}"
        )
    expected, complex_too = (None, cell.kernel.shape[0]), cell.field == "complex"
    _refuse_other("sequence", sequence, expected, cell.name, complex_too)
    for state, width in zip(given, widths, strict=True):
        _refuse_other("states", state, (sequence.shape[0], width), cell.name)


def check_training(training: Any) -> None:
    """Refuse several truths in one."""
    if tuple(getattr(training, "shape", ())) != ():
        advice = "It is whether dropout drops."
        raise _checks.type_error("training", "True, False or None", training, advice)


def check_build(shape: Any, axes: int, name: str) -> int:
    """The number of features in the shape that a layer is built for, or raise."""
    whole = isinstance(shape, (list, tuple)) and len(shape) == axes
    if not whole or not all(_is_size(size) for size in shape) or shape[-1] is None:
        named = "(batch, time, features)" if axes == 3 else "(batch, features)"
        raise ValueError(
            f"The input shape of '{name}' must be {named}, each a non-negative "
            f"integer, or None where it may be any. Received: {shape!r}. The number of "
            "features must be known: it is the number of rows of the kernel."
        )
    return int(shape[-1])


def check_build_config(config: Any, names: Sequence[str], name: str) -> None:
    """Refuse what Keras would ignore, or pass on to `build` as it is."""
    empty = config is None or config == {}
    known = isinstance(config, dict) and (
        "input_shape" in config or _named(config, names)
    )
    if not empty and not known:
        raise ValueError(
            f"The build config of '{name}' must be a dict with an 'input_shape', or "
            f"with a 'shapes_dict' of {', '.join(names)}. Received: {config!r}. "
            "`get_build_config()` of a built layer returns one."
        )


def check_batch_size(batch_size: Any, name: str) -> None:
    """Refuse what is no size. Tensors, and the symbols of tracers, may be one."""
    kinds = (bool, str, float, keras.Variable)
    several = tuple(getattr(batch_size, "shape", ())) != ()
    junk = batch_size is None or several or isinstance(batch_size, kinds)
    if junk or (_checks.is_integer(batch_size) and not 0 <= batch_size <= MOST_ROWS):
        advice = f"It is the number of rows of the initial state of '{name}'."
        expected = f"a non-negative integer, at most {MOST_ROWS}"
        raise _checks.error("batch_size", expected, batch_size, advice)


def _named(config: dict[str, Any], names: Sequence[str]) -> bool:
    shapes = config.get("shapes_dict")
    return isinstance(shapes, dict) and names[0] in shapes and set(shapes) <= set(names)


def _is_size(size: Any) -> bool:
    return size is None or (_checks.is_integer(size) and size >= 0)


def _real_tensor(argument: str, value: Any, name: str) -> Tensor:
    if ops.is_tensor(value) or isinstance(value, keras.Variable):
        return ops.convert_to_tensor(value)
    expected = f"a tensor of real numbers in '{name}'"
    array = _numbers.real_array(argument, value, expected, "Convert it beforehand.")
    return ops.convert_to_tensor(array)


def _refuse_other(
    argument: str,
    tensor: Tensor,
    expected: tuple[Any, ...],
    name: str,
    complex_too: bool = False,
) -> None:
    """Raise unless the tensor is of real numbers, and, if known, of that shape.

    Complex numbers may be inputs of cells of complex states.
    """
    shape = tuple(tensor.shape)
    if len(shape) != len(expected) or not all(map(_agree, shape, expected)):
        sizes = ["any" if size is None else str(size) for size in expected]
        raise ValueError(
            f"`{argument}` of '{name}' must be of shape ({', '.join(sizes)}). "
            f"Received: a tensor of shape {shape}. {_ADVICE[argument]}"
        )
    dtype = ops.dtype(tensor)
    if not dtype.startswith((*_REAL, "complex") if complex_too else _REAL):
        raise TypeError(
            f"`{argument}` of '{name}' must be of real numbers. Received: a tensor of "
            f"dtype {dtype}. Of complex ones, pass the two parts as features, or as "
            "they are to a layer of complex states."
        )


def _tied(tensor: Tensor, beside: Tensor) -> Tensor:
    """`tensor`, by an operation that fails unless the axes but the last are `beside`'s.

    TensorFlow takes a reshape out of a graph where it knows no reason for it.
    """
    beside = ops.real(beside) if is_complex(beside) else beside
    both = ops.concatenate([tensor, ops.cast(beside, tensor.dtype)], axis=-1)
    return both[..., : tensor.shape[-1]]


def _agree(size: Any, expected: Any) -> bool:
    return size is None or expected is None or bool(size == expected)
