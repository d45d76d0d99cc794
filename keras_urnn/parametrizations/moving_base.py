"""The base of a map `R = B f(A - A₀)`, which follows the matrix in training."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from keras import ops

from keras_urnn import _checks
from keras_urnn._backend import full_precision
from keras_urnn.linalg import Tensor
from keras_urnn.linalg.complex_matrices import product, stored, whole
from keras_urnn.linalg.iterations import newton_schulz_step
from keras_urnn.parametrizations.base import Array, initial_matrix
from keras_urnn.parametrizations.skew import skew, skew_hermitian


def add_weights_at_base(cell: Any) -> None:
    """Create `a`, zero, and what no optimizer changes: `B`, `a₀` and a count of steps.

    `B` and `a₀` have float32 at least: what a step moves is below the rounding of an
    orthogonal matrix in half precision. Of complex matrices they hold `[A | B]`.
    """
    shape, constraint = (cell.units, cell.width), cell.recurrent_projection("auto")
    cell.recurrent_skew = cell.add_weight(
        shape=shape,
        name="recurrent_skew",
        initializer="zeros",
        regularizer=cell.recurrent_regularizer,
        autocast=False,
    )
    add_fixed = partial(
        cell.add_weight,
        dtype="float64" if cell.variable_dtype == "float64" else "float32",
        trainable=False,
        autocast=False,
        aggregation="only_first_replica",  # each replica computes the same
    )
    cell.recurrent_base = add_fixed(
        shape=shape,
        name="recurrent_base",
        initializer=lambda shape, dtype: ops.cast(
            stored(initial_matrix(cell, constraint), cell.field), dtype
        ),
    )
    cell.recurrent_offset = add_fixed(
        shape=shape, name="recurrent_offset", initializer="zeros"
    )
    cell.recurrent_steps = add_fixed(
        shape=(), name="recurrent_steps", initializer="zeros"
    )


def from_base(cell: Any, dtype: str, f: Callable[[Tensor], Tensor]) -> Tensor:
    """`B f(A - A₀)`."""
    raw, offset = cell.recurrent_skew, cell.recurrent_offset
    of_raw = skew_hermitian if cell.field == "complex" else skew
    rotation = f(of_raw(ops.cast(raw, dtype) - ops.cast(offset, dtype), dtype))
    # A copy, as PyTorch's backward pass reads it after the next call has moved it.
    base = ops.copy(ops.cast(cell.recurrent_base, dtype))
    with full_precision():
        matrix = newton_schulz_step(whole(product(base, rotation), cell.field))
    return whole(stored(matrix, cell.field), cell.field)


def move_base(cell: Any, every: int, matrix: Callable[[], Tensor]) -> None:
    """Count a training step, after `B ← R`, `a₀ ← a` if the last `every` are over.

    This happens where the steps are computed, not in a constraint after them: then it
    is the same under each optimizer, with weight decay, averaged weights and in loops
    without Keras. The count of a call that is repeated for one step goes on.
    """
    steps = ops.convert_to_tensor(cell.recurrent_steps)
    is_due = steps >= every
    ahead = (
        (cell.recurrent_base, stored(matrix(), cell.field)),
        (cell.recurrent_offset, ops.convert_to_tensor(cell.recurrent_skew)),
        (cell.recurrent_steps, ops.zeros_like(steps)),
    )
    for variable, value in ahead:
        value = ops.cast(ops.stop_gradient(value), variable.dtype)
        variable.assign(ops.where(is_due, value, ops.convert_to_tensor(variable)))
    cell.recurrent_steps.assign_add(1.0)


def set_base(cell: Any, matrix: Array) -> None:
    """Set the weights so that `R` is `B`, this matrix."""
    cell.recurrent_base.assign(stored(matrix, cell.field))
    for variable in (cell.recurrent_skew, cell.recurrent_offset, cell.recurrent_steps):
        variable.assign(np.zeros(variable.shape))


def check_rebase_every(value: Any) -> int | None:
    """Return a number of steps, or None, or raise."""
    if value is None:
        return None
    advice = "After so many training steps the base moves; None keeps it."
    return _checks.positive_integer("rebase_every", value, advice)
