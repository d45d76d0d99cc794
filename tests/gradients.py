"""Gradients by the active backend itself, without Keras' trainer or its optimizers."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from tests.helpers import Array, to_numpy


def of_error(model: Any, x: Any, y: Array, compiled: bool | str = True) -> list[Array]:
    """The gradient of the mean squared error for each trainable weight.

    The model trains, so that dropout is on. TensorFlow and JAX compile the gradient,
    unless `compiled=False`; TensorFlow compiles by XLA only if it is `"xla"`.
    """
    of = {"tensorflow": _in_tensorflow, "jax": _in_jax, "torch": _in_torch}
    found = of[keras.config.backend()](model, x, y, compiled)
    return [to_numpy(gradient) for gradient in found]


def _in_tensorflow(model: Any, x: Any, y: Array, compiled: bool | str) -> Any:
    import tensorflow as tf

    weights = [weight.value for weight in model.trainable_variables]

    def compute(x: Any, y: Any) -> Any:
        with tf.GradientTape() as tape:
            outputs = model(x, training=True)
            loss = tf.reduce_mean((outputs - tf.cast(y, outputs.dtype)) ** 2)
        return tape.gradient(loss, weights, unconnected_gradients="zero")

    if compiled:
        xla = compiled == "xla" or None
        compute = tf.function(compute, autograph=False, jit_compile=xla)
    return compute(keras.tree.map_structure(tf.convert_to_tensor, x), y)


def _in_jax(model: Any, x: Any, y: Array, compiled: bool | str) -> Any:
    import jax

    fixed = [weight.value for weight in model.non_trainable_variables]

    def loss(weights: Any, x: Any, y: Any) -> Any:
        outputs, _ = model.stateless_call(weights, fixed, x, training=True)
        return ((outputs - y.astype(outputs.dtype)) ** 2).mean()

    compute = jax.jit(jax.grad(loss)) if compiled else jax.grad(loss)
    return compute([weight.value for weight in model.trainable_variables], x, y)


def _in_torch(model: Any, x: Any, y: Array, _: bool | str) -> Any:
    import torch

    outputs = model(x, training=True)
    loss = ((outputs - torch.as_tensor(y).to(outputs)) ** 2).mean()
    weights = [weight.value for weight in model.trainable_variables]
    return torch.autograd.grad(loss, weights, materialize_grads=True)


def second_derivative(function: Callable[[Any], Any], at: Array) -> Array:
    """The gradient of the sum of the squares of the gradient of `function`."""
    backend = keras.config.backend()
    if backend == "jax":
        import jax

        squares = lambda a: (jax.grad(function)(a) ** 2).sum()  # noqa: E731
        return np.asarray(jax.jit(jax.grad(squares))(at))
    if backend == "torch":
        import torch

        a = ops.convert_to_tensor(at).requires_grad_()
        (first,) = torch.autograd.grad(function(a), a, create_graph=True)
        return to_numpy(torch.autograd.grad((first**2).sum(), a)[0])
    import tensorflow as tf

    a = tf.constant(at)
    with tf.GradientTape() as outer:
        outer.watch(a)
        with tf.GradientTape() as inner:
            inner.watch(a)
            value = function(a)
        squares = tf.reduce_sum(inner.gradient(value, a) ** 2)
    return outer.gradient(squares, a).numpy()


def differences(value: Any, array: Array, step: float = 1e-6) -> Array:
    """Central differences of a number by the entries of an array that it reads."""
    found = np.zeros_like(array)
    for index in np.ndindex(array.shape):
        start, ends = array[index], []
        for sign in (1.0, -1.0):
            array[index] = start + sign * step
            ends.append(value())
        array[index] = start
        found[index] = (ends[0] - ends[1]) / (2.0 * step)
    return found
