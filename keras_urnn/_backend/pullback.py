"""The derivative of a function, applied backwards to a given direction."""

from collections.abc import Callable
from typing import Any

import keras


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
