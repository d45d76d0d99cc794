"""The weights of layers of complex rotations: angles, phases, and those of `D`.

`Givens` takes the functions of this file or of `real_givens`, by its field.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from keras import ops

from keras_urnn._backend import cos_and_sin
from keras_urnn.linalg import Tensor
from keras_urnn.linalg.rotation_layers import phased, phased_back
from keras_urnn.parametrizations import real_givens
from keras_urnn.parametrizations.base import Array
from keras_urnn.parametrizations.complex_rotations import (
    ComplexDecomposition,
    completely_decomposed,
    decomposed,
)
from keras_urnn.parametrizations.diagonal_weights import add_phased_weights
from keras_urnn.parametrizations.rotations import Layer
from keras_urnn.parametrizations.skew import complex_of, working_dtype

FACTORS = 5  # that a layer has, as `turned` takes them

ended, ended_back = phased, phased_back  # `h D` and `h Dᴴ`, of the two factors of `D`


def add_weights(
    cell: Any, rotations: int, weights: Callable[[Array], tuple[Array, Array]]
) -> None:
    """Create the weights of a cell, of which `weights` gives those of a matrix."""
    add_phased_weights(cell, "recurrent_angles", (2, rotations), weights)


def set_weights(cell: Any, angles: Array, phases: Array) -> None:
    """Set the weights to those of a decomposition."""
    cell.recurrent_angles.assign(angles)
    cell.recurrent_phases.assign(phases)


def factors(cell: Any, layers: Sequence[Layer]) -> tuple[Tensor, ...]:
    """Those of all layers, of shape `(L, n)`, and the two of `D`."""
    dtype = working_dtype(cell)
    angles, phases = ops.unstack(ops.cast(cell.recurrent_angles, dtype))
    rotations = real_givens.factors_of(angles, layers, cell.units)
    first, _ = real_givens.places(layers, cell.units)
    phases = ops.concatenate([phases, ops.zeros((1,), dtype)])
    in_layers = cos_and_sin(ops.take(phases, first))
    return *rotations, *in_layers, *cos_and_sin(ops.cast(cell.recurrent_phases, dtype))


def found_in(
    matrix: Array, layers: Sequence[Layer], complete: bool
) -> ComplexDecomposition:
    """The angles and phases of an embedding, and how far they miss it."""
    value = complex_of(matrix)
    return completely_decomposed(value) if complete else decomposed(value, layers)


def instead_of(matrix: Array, layers: Sequence[Layer]) -> tuple[Array, Array]:
    """Angles and phases that take the place of those of a matrix that is missed."""
    value = complex_of(matrix)
    parts = (value.real, value.imag)
    angles = [real_givens.directions(part, layers) for part in parts]
    return np.array(angles), np.angle(value[-1])
