"""Activations that are affine in pieces, and the linear systems that they make."""

from typing import Any, NamedTuple

import keras
import numpy as np
from numpy.typing import NDArray

from keras_urnn.equivalence.ranges.flat_activations import numbers_of
from keras_urnn.equivalence.ranges.intervals import Array
from keras_urnn.equivalence.ranges.reachable_states import Recurrence

Indices = NDArray[np.intp]

_ACTIVATIONS = keras.activations


class Pieces(NamedTuple):
    """`φ(z) = slopes[i] z + offsets[i]` for `z` between `ends[i - 1]` and `ends[i]`.

    Attributes:
        ends: array of shape `(p - 1,)`, increasing.
        slopes: array of shape `(p,)`.
        offsets: array of shape `(p,)`.
    """

    ends: Array
    slopes: Array
    offsets: Array

    def piece(self, z: Array) -> Indices:
        """The piece that each number is on."""
        return np.searchsorted(self.ends, z).astype(np.intp)

    def distance(self, z: Array) -> Array:
        """How far each number is from the nearest end of a piece."""
        if not self.ends.size:
            return np.full(z.shape, np.inf)
        return np.abs(z[..., None] - self.ends).min(axis=-1)


def _pieces(ends: list[float], slopes: list[float], offsets: list[float]) -> Pieces:
    return Pieces(np.asarray(ends), np.asarray(slopes), np.asarray(offsets))


_PIECES = {
    _ACTIVATIONS.linear: _pieces([], [1.0], [0.0]),
    _ACTIVATIONS.relu: _pieces([0.0], [0.0, 1.0], [0.0, 0.0]),
    _ACTIVATIONS.leaky_relu: _pieces([0.0], [0.2, 1.0], [0.0, 0.0]),
    _ACTIVATIONS.relu6: _pieces([0.0, 6.0], [0.0, 1.0, 0.0], [0.0, 0.0, 6.0]),
    _ACTIVATIONS.hard_sigmoid: _pieces(
        [-3.0, 3.0], [0.0, 1.0 / 6.0, 0.0], [0.0, 0.5, 1.0]
    ),
    _ACTIVATIONS.hard_tanh: _pieces([-1.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 1.0]),
    _ACTIVATIONS.sparse_sigmoid: _pieces([-1.0, 1.0], [0.0, 0.5, 0.0], [0.0, 0.5, 1.0]),
    _ACTIVATIONS.hard_shrink: _pieces([-0.5, 0.5], [1.0, 0.0, 1.0], [0.0, 0.0, 0.0]),
    _ACTIVATIONS.soft_shrink: _pieces([-0.5, 0.5], [1.0, 0.0, 1.0], [0.5, 0.0, -0.5]),
}


def pieces_of(activation: Any) -> Pieces | None:
    """The pieces of one of Keras' activations; `None` where it has others, or none."""
    if type(activation) is keras.layers.ReLU:
        return _of_a_layer(activation)
    return _PIECES.get(activation)


def _of_a_layer(relu: Any) -> Pieces | None:
    top, slope, threshold = numbers_of(relu)
    below = -slope * threshold
    if top is None:
        return _pieces([threshold], [slope, 1.0], [below, 0.0])
    if top <= threshold:
        return None
    return _pieces([threshold, top], [slope, 1.0, 0.0], [below, 0.0, top])


class Affine(NamedTuple):
    """A recurrence while each state is on one piece: `h_t = h_{t-1} R + x_t K + b`.

    Attributes:
        kernel: array of shape `(features, n)`.
        recurrent_matrix: array of shape `(n, n)`.
        bias: array of shape `(n,)`.
    """

    kernel: Array
    recurrent_matrix: Array
    bias: Array


def affine_part(recurrence: Recurrence, pieces: Pieces, index: Indices) -> Affine:
    """The recurrence while its states are on the pieces `index`.

    With the scale `d`, `h_t = (s ((h_{t-1} - centre)∘d) R + s (x_t K + b)∘d + o) / d`.
    """
    d, slopes, offsets = recurrence.d, pieces.slopes[index], pieces.offsets[index]
    matrix = d[:, None] * recurrence.recurrent_matrix * (slopes / d)
    bias = recurrence.affine_bias * slopes + offsets / d
    return Affine(recurrence.kernel * slopes, matrix, bias)
