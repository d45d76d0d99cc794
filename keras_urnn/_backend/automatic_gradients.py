"""Gradients by the automatic differentiation of the backend."""

from collections.abc import Callable
from functools import partial
from typing import Any

import keras


def gradients(function: Callable[[list[Any]], Any]) -> Callable[[list[Any]], list[Any]]:
    """The gradients of a scalar function of a list of tensors, as a function of it.

    TensorFlow and JAX compile it at its first call: keep the result.
    """
    backend = keras.config.backend()
    if backend == "jax":
        import jax

        return jax.jit(jax.grad(function))
    if backend == "torch":
        return partial(_torch_gradients, function)
    import tensorflow as tf

    return tf.function(partial(_tensorflow_gradients, function))


def _torch_gradients(
    function: Callable[[list[Any]], Any], tensors: list[Any]
) -> list[Any]:
    import torch

    leaves = [tensor.detach().requires_grad_() for tensor in tensors]
    # Not `backward`, which would also add to the gradients of all weights.
    value = function(leaves)
    return list(torch.autograd.grad(value, leaves, materialize_grads=True))


def _tensorflow_gradients(
    function: Callable[[list[Any]], Any], tensors: list[Any]
) -> list[Any]:
    import tensorflow as tf

    with tf.GradientTape() as tape:
        tape.watch(tensors)
        value = function(tensors)
    zero = tf.UnconnectedGradients.ZERO
    return tape.gradient(value, tensors, unconnected_gradients=zero)


def pullback(
    function: Callable[[list[Any]], Any], tensors: list[Any], upstream: Any
) -> list[Any]:
    """The gradients of `Σ function(tensors)∘upstream` for each of the tensors.

    It may be called inside a function that is traced, and inside the backward pass of
    another, where PyTorch has switched gradients off.
    """
    backend = keras.config.backend()
    if backend == "jax":
        import jax

        _, back = jax.vjp(function, tensors)
        return list(back(upstream)[0])
    if backend == "torch":
        import torch

        with torch.enable_grad():
            leaves = [tensor.detach().requires_grad_() for tensor in tensors]
            value = function(leaves)
        return list(torch.autograd.grad(value, leaves, upstream))
    import tensorflow as tf

    with tf.GradientTape() as tape:
        tape.watch(tensors)
        value = function(tensors)
    return list(tape.gradient(value, tensors, output_gradients=upstream))
