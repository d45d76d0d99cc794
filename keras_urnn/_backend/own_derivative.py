"""A function with a derivative of its own, instead of that of its operations."""

from collections.abc import Callable
from functools import partial
from typing import Any

import keras


def with_derivative(
    function: Callable[[Any], Any], derivative: Callable[..., Any]
) -> Callable[[Any], Any]:
    """`function` of one tensor, with `derivative(tensor, direction)`.

    The derivative must be linear in the direction and its own adjoint, so that it is
    the gradient as well. That holds for each map that is itself the gradient of a
    convex function. It is computed only if a derivative is asked for.
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
        # Without `stop_gradient` a tape asks the operations inside for their gradients.
        # XLA has none for a loop whose number of rounds depends on the numbers.
        return function(tf.stop_gradient(tensor)), partial(derivative, tensor)

    of_tensor = tf.custom_gradient(with_gradient)
    # Outside of graphs TensorFlow refuses a function that reads a variable itself.
    return lambda tensor: of_tensor(tf.convert_to_tensor(tensor))


def _with_tangent(
    function: Callable[[Any], Any],
    derivative: Callable[..., Any],
    tensors: tuple[Any],
    directions: tuple[Any],
) -> tuple[Any, Any]:
    return function(*tensors), derivative(*tensors, *directions)
