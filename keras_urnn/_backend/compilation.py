"""Functions of tensors, compiled where the backend compiles."""

from collections.abc import Callable, Hashable
from functools import cache, partial
from typing import Any

import keras

from keras_urnn._backend.own_derivative import with_derivative
from keras_urnn._backend.precision import product_dtype

Settings = tuple[tuple[str, Any], ...]


def call(
    function: Callable[..., Any],
    tensor: Any,
    derivative: Callable[..., Any],
    *,
    xla: bool = False,
    **settings: Any,
) -> Any:
    """`function(tensor, **settings)`, traced once for each shape and its settings.

    Outside of a compiled step JAX would compile each loop and branch again at every
    call, which takes 100 times as long as running it. TensorFlow traces a training step
    several times, and without a trace that is kept, half of that time would go into its
    projection. With `xla` TensorFlow compiles the function by XLA even if the training
    step around it is not.

    `derivative(tensor, direction, **settings)` is as for `with_derivative`.
    """
    backend = keras.config.backend()
    items = tuple(settings.items())
    if backend == "torch":
        return _with_settings(function, derivative, items)(tensor)
    if backend == "jax":
        return _jitted(function, derivative, items)(tensor)
    import tensorflow as tf

    # Keras' `convert_to_tensor` would leave a variable as it is.
    tensor = tf.convert_to_tensor(tensor)
    wide = product_dtype(tensor.dtype.name)
    traced = _traced(function, items, xla, tensor.shape, tensor.dtype, wide)
    return with_derivative(traced, partial(derivative, **settings))(tensor)


def _with_settings(
    function: Callable[..., Any], derivative: Callable[..., Any], settings: Settings
) -> Callable[[Any], Any]:
    values = dict(settings)
    return with_derivative(partial(function, **values), partial(derivative, **values))


@cache
def _jitted(
    function: Callable[..., Any], derivative: Callable[..., Any], settings: Settings
) -> Callable[[Any], Any]:
    import jax

    return jax.jit(_with_settings(function, derivative, settings))


@cache
def _traced(
    function: Callable[..., Any], settings: Settings, xla: bool, *_: Hashable
) -> Callable[[Any], Any]:
    import tensorflow as tf

    # A function for each shape: TensorFlow warns if one is traced for many shapes.
    whole = partial(function, **dict(settings))
    return tf.function(whole, autograph=False, jit_compile=xla or None)


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` of tensors, compiled at its first call on TensorFlow and JAX.

    Eager TensorFlow would run each step of a loop in Python, eager JAX would compile
    the loop at every call. On PyTorch the function runs without gradients. Call this
    once and keep the result, which holds the compiled code.
    """
    backend = keras.config.backend()
    if backend == "jax":
        import jax

        return jax.jit(function)
    if backend == "torch":
        return partial(_without_gradients, function)
    import tensorflow as tf

    return tf.function(function, autograph=False)


def _without_gradients(function: Callable[..., Any], *tensors: Any) -> Any:
    import torch

    with torch.no_grad():
        return function(*tensors)


def inference(model: Any) -> Callable[[Any], Any]:
    """A model as a compiled function of its inputs, without gradients.

    Call this once and keep the result. On TensorFlow it does not use
    `predict_on_batch`, which warns of retracing at the fifth model.
    """
    if keras.config.backend() == "tensorflow":
        return compiled(partial(model, training=False))
    return model.predict_on_batch
