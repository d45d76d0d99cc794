"""Products stay in full precision whatever the backend's default."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_urnn import _backend, linalg

BACKEND = keras.backend.backend()


@pytest.mark.skipif(BACKEND != "jax", reason="JAX's switch")
def test_jax_products_of_a_projection_ask_for_the_highest_precision():
    import jax

    jaxpr = str(jax.make_jaxpr(lambda w: linalg.polar_factor(w))(np.eye(3, dtype="f4")))
    products = jaxpr.count("dot_general[")
    assert products > 3
    assert jaxpr.count("Precision.HIGHEST") >= products
    assert jax.config.jax_default_matmul_precision is None, "only locally"


@pytest.mark.skipif(BACKEND != "torch", reason="PyTorch's switch")
def test_torch_precision_is_raised_inside_and_put_back():
    import torch

    torch.set_float32_matmul_precision("medium")
    try:
        with _backend.full_precision():
            assert torch.get_float32_matmul_precision() == "highest"
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")


@pytest.mark.skipif(BACKEND != "tensorflow", reason="TensorFlow has no local switch")
def test_tensorflow_multiplies_in_float64_where_tf32_may_be_used(monkeypatch):
    import tensorflow as tf

    assert _backend.product_dtype("float32") == "float32", "no GPU here"
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: ["a GPU"])
    assert _backend.product_dtype("float32") == "float64"
    q = linalg.polar_factor(ops.convert_to_tensor(np.eye(3, dtype="float32") * 1.01))
    assert ops.dtype(q) == "float32"
    tf.config.experimental.enable_tensor_float_32_execution(False)
    try:
        assert _backend.product_dtype("float32") == "float32"
    finally:
        tf.config.experimental.enable_tensor_float_32_execution(True)


def test_half_precision_is_worked_in_float32():
    assert _backend.product_dtype("bfloat16") == "float32"
    assert _backend.product_dtype("float64") == "float64"


@pytest.mark.skipif(BACKEND == "jax", reason="no float64 unless told at start")
def test_matmul_keeps_float64():
    x = np.random.default_rng(0).normal(size=(3, 3))
    tensor = ops.convert_to_tensor(x)
    product = ops.convert_to_numpy(_backend.matmul(tensor, tensor))
    # One float64 dot product of three terms.
    np.testing.assert_allclose(product, x @ x, atol=1e-14)
