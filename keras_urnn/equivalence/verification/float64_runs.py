"""Run a recurrence of any dtype in float64 NumPy, with its weights as stored.

Two networks that compute the same map then agree to 12 digits, so that a difference
which float32 rounding would hide becomes visible. The backend evaluates only the
activations that can't be computed exactly: JAX and TensorFlow take longer to compile a
whole loop than it takes to run here.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from keras_urnn import _backend
from keras_urnn.equivalence.ranges.activations import known
from keras_urnn.equivalence.ranges.intervals import Array, to_float64
from keras_urnn.equivalence.ranges.recurrence import Recurrence
from keras_urnn.equivalence.ranges.relu_layers import numbers_of


class Trajectory(NamedTuple):
    """A run of a recurrence.

    Attributes:
        preactivations: array of shape `(batch, time, n)`, scaled where the states are.
        states: array of shape `(batch, time, n)`.
    """

    preactivations: Array
    states: Array


def trajectory(recurrence: Recurrence, x: Array) -> Trajectory:
    """Run a recurrence from its state at rest.

    z_t = ((h_{t-1} - c)∘d) R + (x_t K + b)∘d,    h_t = φ(z_t) / d
    """
    activation, d = _in_numpy(recurrence.activation), recurrence.d
    driven = (x @ recurrence.kernel + recurrence.bias) * d
    z, states = np.empty_like(driven), np.empty_like(driven)
    h = np.broadcast_to(recurrence.initial_state, driven[:, 0].shape)
    with _backend.double_precision():
        for t in range(driven.shape[1]):
            before = (h - recurrence.centre) * d
            z[:, t] = before @ recurrence.recurrent_matrix + driven[:, t]
            h = states[:, t] = activation(z[:, t]) / d
    return Trajectory(z, states)


# Takes a run, and the gradients of a number by the pre-activations and by the states of
# the run (0.0 for none); returns the gradient of that number by the inputs.
InputGradient = Callable[[Trajectory, Array | float, Array | float], Array]


def input_gradient(recurrence: Recurrence) -> InputGradient:
    """The backward pass of `trajectory`, as a function to keep: it compiles once."""
    through_activation = _gradient_in_numpy(recurrence.activation)

    def back(run: Trajectory, by_z: Array | float, by_h: Array | float) -> Array:
        d, by_x = recurrence.d, np.empty_like(run.states)
        by_z, by_h = (np.broadcast_to(g, run.states.shape) for g in (by_z, by_h))
        later = np.zeros_like(run.states[:, 0])
        with _backend.double_precision():
            for t in reversed(range(run.states.shape[1])):
                through = through_activation(
                    run.preactivations[:, t], (by_h[:, t] + later) / d
                )
                by_x[:, t] = by_z[:, t] + through
                later = (by_x[:, t] @ recurrence.recurrent_matrix.T) * d
        return by_x @ (recurrence.kernel * d).T

    return back


def _in_numpy(activation: Any) -> Callable[[Array], Array]:
    value = known(activation).value
    if value is not None:
        return value  # without compiling it for each shape
    activate = _in_float64(activation)
    return lambda z: to_float64(activate(_tensor(z)))


def _gradient_in_numpy(activation: Any) -> Callable[[Array, Array], Array]:
    """Takes pre-activations and a gradient by the values; returns it by the former."""
    derivative = known(activation).derivative
    if derivative is not None:
        return lambda z, by_value: derivative(z) * by_value
    activate = _in_float64(activation)
    gradient = _backend.gradients(
        lambda tensors: ops.sum(ops.cast(activate(tensors[0]), "float64") * tensors[1])
    )
    return lambda z, by_value: to_float64(gradient([_tensor(z), _tensor(by_value)])[0])


def _tensor(array: Array) -> Any:
    return ops.convert_to_tensor(array, dtype="float64")


def activation_dtype(activation: Any, units: int = 2) -> str:
    """The dtype that an activation computes in: float32 for Keras' tanh on JAX."""
    with _backend.double_precision():
        z = ops.convert_to_tensor(np.zeros((1, units)), dtype="float64")
        found = _in_float64(activation)(z)
        return str(keras.backend.standardize_dtype(found.dtype))


def _in_float64(activation: Any) -> Any:
    if not isinstance(activation, keras.Layer):
        return activation
    # A layer casts its inputs and its numbers to its own dtype.
    config = {**activation.get_config(), "dtype": "float64"}
    if type(activation) is keras.layers.ReLU:
        config |= numbers_of(activation)._asdict()
    new = type(activation).from_config(config)
    if activation.weights:
        new.build_from_config(activation.get_build_config())
        new.set_weights(activation.get_weights())
    return new
