"""The one place that may import a backend: precision, compilation, gradients."""

from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from typing import Any

import keras

from keras_urnn._backend.own_derivative import with_derivative


@contextmanager
def full_precision() -> Iterator[None]:
    """Compute the products traced inside, cuDNN's too, without TF32 and bfloat16.

    On a GPU the backends may compute a float32 product with 10 bits of mantissa.
    Newton-Schulz then stalls at a unitarity error of 5e-4. JAX and PyTorch have a
    switch that can be set for the products inside alone. TensorFlow's switch is global,
    so there `product_dtype` asks for float64 instead.
    """
    backend = keras.config.backend()
    if backend == "jax":
        import jax

        with jax.default_matmul_precision("highest"):
            yield
    elif backend == "torch":
        import torch

        # Not the older, global switch: PyTorch refuses to read it once a user has set
        # one of these.
        backends = torch.backends
        switches = (backends.cuda.matmul, backends.mkldnn.matmul, backends.cudnn.rnn)
        previous = [switch.fp32_precision for switch in switches]
        try:
            for switch in switches:
                switch.fp32_precision = "ieee"
            yield
        finally:
            for switch, precision in zip(switches, previous, strict=True):
                switch.fp32_precision = precision
    else:
        yield


def rounds_products() -> bool:
    """Whether the backend may compute float32 products in TF32 by default.

    JAX and TensorFlow do so on a GPU, PyTorch does not.
    """
    backend = keras.config.backend()
    if backend == "jax":
        import jax

        return jax.default_backend() != "cpu"
    if backend == "torch":
        return False
    import tensorflow as tf

    tf32 = tf.config.experimental.tensor_float_32_execution_enabled()
    return tf32 and bool(tf.config.list_physical_devices("GPU"))


def product_dtype(dtype: str) -> str:
    """The dtype in which products are exact to the rounding of `dtype`.

    It is at least float32: half precision has no SVD, and its iterations do not
    converge far enough. Under TensorFlow it is float64 where float32 products may be
    computed in TF32: on a GPU, unless the user has switched TF32 off.
    """
    if dtype == "float64":
        return "float64"
    wider = keras.config.backend() == "tensorflow" and rounds_products()
    return "float64" if wider else "float32"


def matmul(a: Any, b: Any) -> Any:
    """`a @ b` in the dtype of the operands.

    `keras.ops.matmul` multiplies float64 matrices in float32 under PyTorch (Keras
    3.15.1: its type promotion has float64 on TensorFlow only). The operator does not.
    """
    return a @ b


def cubic(x: Any, linear: Any, third: Any) -> Any:
    """`linear X - third X³` of square matrices, by two products."""
    square = matmul(x, x)
    if keras.config.backend() == "torch" and len(x.shape) == 2:
        import torch

        # One operation instead of four. With few rows each of the four takes as long
        # as the product.
        return torch.addmm(x, x, square, beta=linear, alpha=-third)
    return linear * x - third * matmul(x, square)


def fold(step: Callable[..., Any], table: Any, first: Any, end: Any, x: Any) -> Any:
    """`x` after `x = step(x, *row)` with the rows `first` to `end - 1` of `table`.

    `table` is a NumPy array. On PyTorch the two indices become Python numbers once: a
    loop that waits for a GPU at each row would take longer than its steps.
    """
    if keras.config.backend() == "torch":
        for row in table[int(first) : int(end)].tolist():
            x = step(x, *row)
        return x
    ops = keras.ops
    rows = ops.convert_to_tensor(table, dtype=x.dtype)

    def body(k: Any, x: Any) -> tuple[Any, Any]:
        # Not `rows[k]`: then XLA would compile again for each new `k` on TensorFlow.
        return k + 1, step(x, *ops.unstack(ops.take(rows, k, axis=0)))

    return ops.while_loop(lambda k, x: k < end, body, (first, x))[1]


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


Settings = tuple[tuple[str, Any], ...]


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


@contextmanager
def double_precision() -> Iterator[None]:
    """Allow tensors of float64 inside. JAX truncates them to float32 otherwise."""
    if keras.config.backend() == "jax":
        import jax

        with jax.enable_x64(True):
            yield
    else:
        yield


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
