"""The precision of products, and which dtypes they are computed in."""

from collections.abc import Iterator
from contextlib import contextmanager

import keras


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


@contextmanager
def double_precision() -> Iterator[None]:
    """Allow tensors of float64 inside. JAX truncates them to float32 otherwise."""
    if keras.config.backend() == "jax":
        import jax

        with jax.enable_x64(True):
            yield
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
