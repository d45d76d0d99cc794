"""Cosine and sine in the dtype of their argument."""

from typing import Any

import keras


def cos_and_sin(angles: Any) -> tuple[Any, Any]:
    """The cosine and the sine of a tensor, by the functions of the backend.

    `keras.ops.cos` computes that of float64 in float32 on JAX and PyTorch (Keras
    3.15.1: its type promotion has float64 on TensorFlow only).
    """
    backend = keras.config.backend()
    if backend == "jax":
        import jax.numpy as jnp

        return jnp.cos(angles), jnp.sin(angles)
    if backend == "torch":
        import torch

        return torch.cos(angles), torch.sin(angles)
    import tensorflow as tf

    return tf.cos(angles), tf.sin(angles)
