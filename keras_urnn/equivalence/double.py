"""A recurrence in float64, whatever its dtype and the backend's: nothing but its map.

With the weights as they are stored, two networks that compute the same then agree to
12 digits, and a difference that float32 would hide is one.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from keras_urnn import _backend
from keras_urnn._backend import matmul
from keras_urnn.equivalence.flat_activations import numbers_of
from keras_urnn.equivalence.intervals import Array
from keras_urnn.equivalence.reachable import Recurrence

# From a tensor of inputs `(batch, time, features)` to pre-activations and states.
Run = Callable[[Any], tuple[Any, Any]]


class Trajectory(NamedTuple):
    """A run of a recurrence.

    Attributes:
        preactivations: array of shape `(batch, time, n)`, scaled where the states are.
        states: array of shape `(batch, time, n)`.
    """

    preactivations: Array
    states: Array


def trajectory(recurrence: Recurrence, x: Array) -> Trajectory:
    """Run a recurrence from its state at rest."""
    activation = _in_float64(recurrence.activation)
    with _backend.double_precision():
        # The numbers are arguments: what is compiled is the same for all networks.
        run = _backend.compiled(partial(_run, activation))
        found = run(_tensor(x), *_numbers(recurrence))
        return Trajectory(*(np.asarray(ops.convert_to_numpy(part)) for part in found))


def run_in_float64(recurrence: Recurrence) -> Run:
    """The recurrence as a function of tensors, to be called in `double_precision`."""
    activation = _in_float64(recurrence.activation)
    return lambda x: _run(activation, x, *_numbers(recurrence))


def _tensor(array: Array) -> Any:
    return ops.convert_to_tensor(array, dtype="float64")


def _numbers(recurrence: Recurrence) -> list[Any]:
    d = recurrence.d
    kernel, bias = recurrence.kernel * d, recurrence.bias * d
    states = (d, recurrence.centre, recurrence.initial_state)
    arrays = (kernel, recurrence.recurrent_matrix, bias, *states)
    return [_tensor(array) for array in arrays]


def _run(
    activation: Any,
    x: Any,
    kernel: Any,
    matrix: Any,
    bias: Any,
    d: Any,
    centre: Any,
    start: Any,
) -> tuple[Any, Any]:
    def step(h: Any, driven: Any) -> tuple[Any, Any]:
        z = matmul((h - centre) * d, matrix) + driven
        h = ops.cast(activation(z), "float64") / d
        return h, h

    driven = ops.swapaxes(matmul(x, kernel) + bias, 0, 1)
    start = ops.zeros_like(driven[:1]) + start
    _, states = ops.scan(step, start[0], driven)
    before = ops.concatenate([start, states[:-1]], axis=0)
    z = matmul((before - centre) * d, matrix) + driven
    return ops.swapaxes(z, 0, 1), ops.swapaxes(states, 0, 1)


def activation_dtype(activation: Any) -> str:
    """The dtype that an activation computes in: float32 for Keras' tanh on JAX."""
    with _backend.double_precision():
        z = ops.convert_to_tensor(np.zeros((1, 2)), dtype="float64")
        found = _in_float64(activation)(z)
        return str(keras.backend.standardize_dtype(found.dtype))


def _in_float64(activation: Any) -> Any:
    if not isinstance(activation, keras.Layer):
        return activation
    # A layer casts what it is given to its own dtype, and its numbers, too.
    config = {**activation.get_config(), "dtype": "float64"}
    if type(activation) is keras.layers.ReLU:
        config |= numbers_of(activation)._asdict()
    return type(activation).from_config(config)
