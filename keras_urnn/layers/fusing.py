"""When a layer takes the fused recurrence, and how it does."""

import math
from functools import partial
from typing import Any

import keras
from keras import ops

from keras_urnn.activations.base import CellActivation
from keras_urnn.layers import fused_skip
from keras_urnn.layers.cell import StructuredRNNCell
from keras_urnn.layers.complex_inputs import real_product
from keras_urnn.linalg import Tensor
from keras_urnn.recurrence import (
    DERIVATIVES,
    ON_SECOND_HALF,
    Structure,
    fused_recurrence,
    readable_name,
)


def obstacle(layer: Any) -> str | None:
    """What makes the fused recurrence of `layer` impossible, or None."""
    cell = layer.cell
    if layer.unroll:
        return "`unroll=True` asks for Keras' own loop"
    if has_own_step(cell):
        return f"{type(cell).__name__} has a step of its own"
    if readable_name(cell.activation) is None:
        names = ", ".join([*DERIVATIVES, "modrelu"])
        return f"the derivative of `activation` is read from the state only for {names}"
    if cell.skip is not None and isinstance(cell.activation, CellActivation):
        return "with `skip` an activation with weights is not fused"
    if cell.recurrent_dropout:
        return "`recurrent_dropout` changes the recurrent matrix per sequence"
    if cell.resting_state is not None:
        return "`resting_state` is taken off the state in each step"
    if cell.state_scale is not None and not _scales_exactly(cell):
        return "`state_scale` is not of powers of two around a homogeneous activation"
    return None


def has_own_step(cell: Any) -> bool:
    """Whether a subclass has replaced the step of this library's cells."""
    return type(cell).call is not StructuredRNNCell.call


def _scales_exactly(cell: Any) -> bool:
    """Whether the scale may go into the weights: then no number changes."""
    homogeneous = readable_name(cell.activation) in ("linear", "relu")
    powers = all(math.frexp(scale)[0] == 0.5 for scale in cell.state_scale)
    return homogeneous and powers


def inner_loop(
    layer: Any,
    sequences: Tensor,
    initial_state: Any,
    mask: Tensor | None,
    training: bool,
) -> tuple[Tensor, Tensor, Any]:
    """What `keras.layers.RNN.inner_loop` does, by the fused recurrence.

    A masked step repeats the state before it; `StructuredRNN.inner_loop` says what is
    shown of it.
    """
    cell, dtype = layer.cell, layer.cell.compute_dtype
    sequences, kernel = real_product(sequences, ops.convert_to_tensor(cell.kernel))
    if training:
        dropped = cell.get_dropout_mask(sequences[:, 0, :])
        if dropped is not None:
            sequences = sequences * dropped[:, None, :]
    if layer.go_backwards:
        sequences = ops.flip(sequences, axis=1)
        mask = None if mask is None else ops.flip(mask, axis=1)
    start = cell.join_states(initial_state)
    if layer.stateful:
        # PyTorch writes the new state into the old one's memory, which the backward
        # pass still reads.
        start = ops.copy(start)
    structure, tensors = _recurrent_map(cell)
    activation, bias = readable_name(cell.activation), _bias(cell)
    assert activation is not None  # `obstacle` refuses the others
    if cell.skip is not None:
        activation = ON_SECOND_HALF + activation
        kernel, bias = map(fused_skip.after_zeros, (kernel, bias))
        start = fused_skip.before_zeros(start)
    inputs = (sequences, kernel, bias, tensors, start, _trained(cell))
    *inputs, trained = keras.tree.map_structure(
        lambda value: ops.cast(value, dtype), inputs
    )
    states, last = fused_recurrence(
        *inputs,
        activation=activation,
        trained=trained,
        structure=structure,
        mask=mask,
        return_sequences=layer.return_sequences,
        checkpoint_every=layer.checkpoint_every,
    )
    if cell.skip is not None:
        join = partial(fused_skip.joined, cell=cell, tensors=inputs[3])
        last, states = join(last), None if states is None else join(states)
    ends = cell.split_state(last)
    outputs = ends[0][:, None] if states is None else cell.split_state(states)[0]
    return ends[0], outputs, ends


def _bias(cell: Any) -> Tensor:
    if cell.bias is None:
        return ops.zeros((cell.width,), dtype=cell.compute_dtype)
    return ops.convert_to_tensor(cell.bias)


def _trained(cell: Any) -> tuple[Tensor, ...]:
    """The weights of the activation."""
    if not isinstance(cell.activation, CellActivation):
        return ()
    return tuple(map(ops.convert_to_tensor, cell.activation.weights))


def _recurrent_map(cell: Any) -> tuple[Structure | None, tuple[Tensor, ...]]:
    """The structure of `h R`, if `R` has a cheap one, and the tensors it is made of.

    With a scale `d` inside, `R` is `diag(d) R diag(1/d)`.
    """
    if cell.skip is not None:
        return fused_skip.map_of(cell)
    if cell.parametrization.is_structured():
        return _structure(cell), tuple(cell.prepared())
    matrix = cell.recurrent_matrix()
    if cell.state_scale is not None:
        d = ops.convert_to_tensor(cell.state_scale, dtype=ops.dtype(matrix))
        matrix = d[:, None] * matrix / d
    return None, (matrix,)


def _structure(cell: Any) -> Structure:
    """The steps of a structured map, of `diag(d) R diag(1/d)` with a scale `d`."""
    unscaled = cell.parametrization
    if cell.state_scale is None:
        return Structure(unscaled.apply, unscaled.apply_transposed)

    def apply(h: Tensor, prepared: Any) -> Tensor:
        d = ops.convert_to_tensor(cell.state_scale, h.dtype)
        return unscaled.apply(h * d, prepared) / d

    def apply_transposed(h: Tensor, prepared: Any) -> Tensor:
        d = ops.convert_to_tensor(cell.state_scale, h.dtype)
        return unscaled.apply_transposed(h / d, prepared) * d

    return Structure(apply, apply_transposed)
