"""Products stay in full precision whatever the backend's default."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_urnn as ku
from keras_urnn import _backend, linalg
from tests.helpers import PARAMETRIZATIONS

BACKEND = keras.backend.backend()
PROJECTIONS = [
    linalg.polar_factor,
    lambda w: linalg.clip_singular_values(w, 0.9),
]
MAPS_BY_PRODUCTS = (
    "cayley",
    "cayley of complex numbers",
    "exponential",
    "householder",
    "bounded_svd",
)


def observe_products(monkeypatch, look):
    """Call `look(a)` at each product `a @ b` of a projection; return what it gave."""
    seen = []

    def matmul(a, b):
        seen.append(look(a))
        return _backend.matmul(a, b)

    for module in (linalg.polar, linalg.clipping, linalg.iterations):
        monkeypatch.setattr(module, "matmul", matmul)
    return seen


@pytest.mark.skipif(BACKEND != "jax", reason="JAX's switch")
@pytest.mark.parametrize("project", PROJECTIONS)
def test_jax_products_of_a_projection_ask_for_the_highest_precision(project):
    import jax

    jaxpr = str(jax.make_jaxpr(project)(np.eye(3, dtype="f4")))
    products = jaxpr.count("dot_general[")
    assert products > 3
    assert jaxpr.count("Precision.HIGHEST") == 2 * products, "one for each factor"
    assert jax.config.jax_default_matmul_precision is None, "only locally"


@pytest.mark.skipif(BACKEND != "torch", reason="PyTorch's switch")
@pytest.mark.parametrize("project", PROJECTIONS)
def test_torch_precision_is_raised_inside_and_put_back(project, monkeypatch):
    import torch

    switch = torch.backends.cuda.matmul
    seen = observe_products(monkeypatch, lambda _: switch.fp32_precision)
    previous = switch.fp32_precision
    switch.fp32_precision = "tf32"  # as a user would
    try:
        project(torch.eye(3))
        assert switch.fp32_precision == "tf32"
    finally:
        switch.fp32_precision = previous
    assert set(seen) == {"ieee"}


@pytest.mark.skipif(BACKEND != "tensorflow", reason="TensorFlow has no local switch")
@pytest.mark.parametrize("project", PROJECTIONS)
def test_tensorflow_multiplies_in_float64_where_tf32_may_be_used(project, monkeypatch):
    import tensorflow as tf

    assert _backend.product_dtype("float32") == "float32", "no GPU here"
    seen = observe_products(monkeypatch, ops.dtype)
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: ["a GPU"])
    out = project(ops.convert_to_tensor(np.eye(3, dtype="float32")))
    assert set(seen) == {"float64"}
    assert ops.dtype(out) == "float32"
    tf.config.experimental.enable_tensor_float_32_execution(False)
    try:
        assert _backend.product_dtype("float32") == "float32"
    finally:
        tf.config.experimental.enable_tensor_float_32_execution(True)


@pytest.mark.skipif(BACKEND != "tensorflow", reason="TensorFlow has no local switch")
@pytest.mark.parametrize("name", MAPS_BY_PRODUCTS)
def test_tensorflow_multiplies_maps_in_float64_where_tf32_may_be_used(
    name, monkeypatch
):
    import tensorflow as tf

    row = PARAMETRIZATIONS[name]
    kind = ku.UnitaryRNNCell if "unitary" in row.sets else ku.ContractiveRNNCell
    cell = kind(3, row.activation, parametrization=row.make())
    cell.build((None, 2))
    assert ops.dtype(cell.parametrization.prepare()) == "float32", "no GPU here"
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: ["a GPU"])
    assert ops.dtype(cell.parametrization.prepare()) == "float64"
    assert ops.dtype(cell.recurrent_matrix()) == "float32"


def test_half_precision_is_worked_in_float32():
    assert _backend.product_dtype("bfloat16") == "float32"
    assert _backend.product_dtype("float64") == "float64"


@pytest.mark.skipif(BACKEND == "jax", reason="no float64 unless told at start")
def test_matmul_keeps_float64():
    x = np.random.default_rng(0).normal(size=(3, 3))
    tensor = ops.convert_to_tensor(x)
    product = ops.convert_to_numpy(_backend.matmul(tensor, tensor))
    # One float64 dot product of three terms.
    np.testing.assert_allclose(product, x @ x, rtol=0, atol=1e-14)


def test_gradients_are_those_of_the_formula():
    layer = keras.layers.SimpleRNN(3)
    x = np.random.default_rng(0).normal(size=(2, 4, 3)).astype("float32")
    layer(x)
    before = layer.get_weights()
    slopes = _backend.gradients(lambda t: ops.sum(layer(t[0] * t[1])))
    ones = np.ones_like(x)
    first, second = slopes([ops.convert_to_tensor(x), ops.convert_to_tensor(ones)])
    first, second = ops.convert_to_numpy(first), ops.convert_to_numpy(second)
    # For f(x y): y ∂f/∂y = x ∂f/∂x, and y is 1.
    np.testing.assert_allclose(second, x * first, rtol=0, atol=1e-5)
    step = 1e-2 * first / np.linalg.norm(first)
    up, down = (ops.convert_to_numpy(layer(x + s * step)).sum() for s in (1, -1))
    slope = np.linalg.norm(first)
    assert (up - down) / 2e-2 == pytest.approx(slope, rel=1e-2)
    for old, new in zip(before, layer.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
