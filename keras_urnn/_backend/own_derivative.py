"""A function with a derivative of its own, in place of that of its operations."""

from collections.abc import Callable
from functools import partial
from typing import Any

import keras


def with_derivative(
    function: Callable[[Any], Any], derivative: Callable[..., Any]
) -> Callable[[Any], Any]:
    """`function` of one tensor, with `derivative(tensor, direction)`.

    The derivative is linear in the direction, and its own adjoint, so that it serves as
    a gradient too: that of each map which is the gradient of a convex function is. It
    runs where a derivative is asked for, and nowhere else.
    """
    backend = keras.config.backend()
    if backend == "torch":
        from keras_urnn._backend import torch_derivative

        return partial(torch_derivative.apply, function, derivative)
    if backend == "jax":
        import jax

        with_jvp = jax.custom_jvp(function)
        with_jvp.defjvp(partial(_with_tangent, with_jvp, derivative))
        return with_jvp
    import tensorflow as tf

    def with_gradient(tensor: Any) -> tuple[Any, Callable[..., Any]]:
        # Else a tape asks the operations inside for their gradients, which XLA has not
        # where the number of rounds of a loop depends on the numbers.
        return function(tf.stop_gradient(tensor)), partial(derivative, tensor)

    result: Callable[[Any], Any] = tf.custom_gradient(with_gradient)
    return result


def _with_tangent(
    function: Callable[[Any], Any],
    derivative: Callable[..., Any],
    tensors: tuple[Any],
    directions: tuple[Any],
) -> tuple[Any, Any]:
    return function(*tensors), derivative(*tensors, *directions)
