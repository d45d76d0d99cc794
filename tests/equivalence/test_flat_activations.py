"""The table of activations that are constant on a half-line, against Keras itself."""

from typing import Any

import keras
import numpy as np
import pytest

from keras_urnn.equivalence.ranges.activations import ACTIVATIONS, flat_activation
from keras_urnn.equivalence.ranges.flat_activations import FlatActivation
from tests.equivalence.networks import CONVERTED, RELU_LAYERS, relu_layer
from tests.helpers import Array, precision, to_numpy

A = keras.activations
ReLU = keras.layers.ReLU
# Constant on no half-line, or not a function of one number.
NOT_FLAT = [
    "celu",
    "elu",
    "exponential",
    "gelu",
    "glu",
    "hard_shrink",
    "leaky_relu",
    "linear",
    "log_sigmoid",
    "log_softmax",
    "mish",
    "selu",
    "sigmoid",
    "silu",
    "soft_shrink",
    "softmax",
    "softplus",
    "softsign",
    "sparsemax",
    "squareplus",
    "swish",
    "tanh",
    "tanh_shrink",
    "threshold",
]
FLAT = [*CONVERTED, *RELU_LAYERS]


def activation(row: Any) -> Any:
    """The function of this name, or the layer of these arguments, made now."""
    return A.get(row) if isinstance(row, str) else ReLU(*row)


def known(row: Any) -> FlatActivation:
    found = flat_activation(activation(row))
    assert found is not None
    return found


def apply(row: Any, z: Array) -> Array:
    return to_numpy(activation(row)(keras.ops.convert_to_tensor(z)))


def test_every_activation_of_keras_is_in_the_table_or_refused() -> None:
    verbs = {"get", "serialize", "deserialize"}
    public = {name for name in dir(A) if not name.startswith("_")} - verbs
    flat = {f.__name__ for f, row in ACTIVATIONS.items() if row.half_line}
    assert set(CONVERTED) == flat
    assert public == set(CONVERTED) | set(NOT_FLAT) | {"hard_swish"}
    assert all(flat_activation(A.get(name)) is None for name in NOT_FLAT)


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16"])
@pytest.mark.parametrize("row", FLAT, ids=str)
def test_it_is_exactly_constant_beyond_the_edge(row: Any, dtype: str) -> None:
    with precision(dtype):
        flat = known(row)
        beyond = flat.edge + flat.side * np.r_[0.0, np.geomspace(1e-3, 1e4, 50)]
        z = keras.ops.cast(keras.ops.convert_to_tensor(beyond), dtype)
        assert np.all(to_numpy(activation(row)(z)) == flat.value)


@pytest.mark.parametrize("row", FLAT, ids=str)
def test_it_is_not_constant_just_inside(row: Any) -> None:
    flat = known(row)
    inside = np.float32(flat.edge - flat.side * 1e-3)
    assert apply(row, inside) != flat.value


@pytest.mark.parametrize("row", FLAT, ids=str)
def test_it_is_the_function_of_the_oracle(row: Any) -> None:
    z = np.linspace(-10.0, 10.0, 4001, dtype="float32")
    oracle = CONVERTED[row] if isinstance(row, str) else relu_layer(*row)
    # A few roundings of numbers up to 10.
    np.testing.assert_allclose(apply(row, z), oracle(z), rtol=0, atol=5e-6)


@pytest.mark.parametrize("row", FLAT, ids=str)
def test_it_grows_no_faster_than_the_table_says(row: Any) -> None:
    flat = known(row)
    z = np.linspace(-10.0, 10.0, 4001, dtype="float32")
    y = apply(row, z)
    beyond = np.maximum(np.abs(y) - np.abs(z), y - np.maximum(z, 0.0))
    assert np.max(beyond) <= flat.excess + 1e-6
    assert np.max(beyond) >= flat.excess - 1e-6
    slopes = np.abs(np.diff(y) / np.diff(z))
    # Differences of roundings of 6e-7 over steps of 5e-3.
    assert slopes.max() <= flat.slope + 1e-3
    if np.isfinite(flat.slope):
        assert slopes.max() >= flat.slope - 5e-3
    else:
        assert slopes.max() > 10.0


@pytest.mark.parametrize("row", [*FLAT, (None, 0.0, 0.0)], ids=str)
def test_it_is_homogeneous_where_the_table_says(row: Any) -> None:
    z = np.linspace(-8.0, 8.0, 41, dtype="float32")
    same = np.array_equal(apply(row, 2.0 * z), 2.0 * apply(row, z))
    assert known(row).homogeneous == same == (row in ("relu", (None, 0.0, 0.0)))


@pytest.mark.parametrize(
    "layer",
    [
        lambda: ReLU(negative_slope=0.2),
        lambda: ReLU(max_value=1.0, negative_slope=1.5),
        lambda: ReLU(max_value=0.5, negative_slope=0.1, threshold=0.5),
        lambda: keras.layers.LeakyReLU(),
        lambda: type("Mine", (ReLU,), {})(),
    ],
)
def test_a_layer_that_is_not_known_to_be_flat_is_not_taken_for_it(layer: Any) -> None:
    assert flat_activation(layer()) is None


def test_the_numbers_of_a_layer_are_those_of_its_dtype() -> None:
    flat = flat_activation(ReLU(0.1, 0.5, dtype="bfloat16"))
    assert flat is not None
    assert flat.value == flat.edge == 0.10009765625
    assert known((None, 0.0, 0.3)).edge == np.float32(0.3)
