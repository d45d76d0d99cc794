"""A recurrence in float64 against the loop in NumPy."""

from typing import Any

import keras
import numpy as np
import pytest

from keras_urnn.equivalence.ranges.recurrence import Recurrence
from keras_urnn.equivalence.verification.float64_runs import (
    activation_dtype,
    input_gradient,
    trajectory,
)
from tests.equivalence.networks import (
    CONVERTED,
    FEATURES,
    RELU_LAYERS,
    recurrence,
    relu_layer,
    states,
)

pytestmark = pytest.mark.each_backend


@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("activation", CONVERTED)
def test_a_recurrence_runs_in_float64(activation: str, centred: bool) -> None:
    network = recurrence(4, 0.9, 0, "float32", activation=activation, centred=centred)
    x = np.random.default_rng(0).uniform(-2.0, 2.0, (2, 12, FEATURES))
    expected = states(network, x, activation)
    run = trajectory(network, x)
    np.testing.assert_allclose(run.states, expected, rtol=0, atol=1e-13)
    np.testing.assert_allclose(
        CONVERTED[activation](run.preactivations), expected, rtol=0, atol=1e-13
    )


def test_a_scale_is_that_of_a_network_in_other_units() -> None:
    # φ((h∘d) R + (x K + b)∘d) / d of a ReLU is φ(h (d R / d) + x K + b).
    network, d = recurrence(4, 0.9, 0, centred=True), np.array([1.0, 4.0, 0.5, 3.0])
    scaled = Recurrence(**{**vars(network), "scale": d})
    plain = Recurrence(
        **{
            **vars(network),
            "recurrent_matrix": d[:, None] * network.recurrent_matrix / d,
        }
    )
    x = np.random.default_rng(0).uniform(-2.0, 2.0, (2, 12, FEATURES))
    found, expected = trajectory(scaled, x), trajectory(plain, x)
    np.testing.assert_allclose(found.states, expected.states, rtol=1e-12)
    np.testing.assert_allclose(
        found.preactivations / d, expected.preactivations, rtol=1e-9, atol=1e-12
    )


@pytest.mark.parametrize("arguments", RELU_LAYERS, ids=str)
def test_a_relu_layer_keeps_the_numbers_that_it_computes_with(
    arguments: tuple[float, float, float],
) -> None:
    layer = keras.layers.ReLU(*arguments)
    network = Recurrence(**{**vars(recurrence(4, 0.9, 0)), "activation": layer})
    x = np.random.default_rng(0).uniform(-2.0, 2.0, (2, 12, FEATURES))
    run = trajectory(network, x)
    single = tuple(None if a is None else float(np.float32(a)) for a in arguments)
    expected = relu_layer(*single)(run.preactivations)  # type: ignore[arg-type]
    np.testing.assert_allclose(run.states, expected, rtol=0, atol=1e-15)


def test_an_activation_tells_the_dtype_it_computes_in() -> None:
    assert activation_dtype(keras.activations.relu) == "float64"
    on_jax = keras.config.backend() == "jax"
    tanh = activation_dtype(keras.activations.tanh)
    assert tanh == ("float32" if on_jax else "float64")


@pytest.mark.parametrize("activation", ["relu", "tanh", "softmax", "hard_silu"])
def test_the_gradient_by_the_inputs_is_that_of_differences(activation: str) -> None:
    network = recurrence(4, 0.9, 0, activation=activation, centred=True)
    network = Recurrence(**{**vars(network), "scale": np.array([1.0, 4.0, 0.5, 3.0])})
    generator = np.random.default_rng(0)
    x = generator.uniform(-2.0, 2.0, (2, 6, FEATURES))
    by_z, by_h, direction = (
        generator.normal(size=(2, 6, size)) for size in (4, 4, FEATURES)
    )

    def value(x: Any) -> float:
        run = trajectory(network, x)
        return float(np.sum(by_z * run.preactivations) + np.sum(by_h * run.states))

    # Keras' tanh computes in float32 on JAX: of 1e-7, over a difference of 1e-3.
    exact = activation_dtype(network.activation) == "float64"
    step, tolerance = (1e-6, 1e-7) if exact else (1e-3, 1e-3)
    gradient = input_gradient(network)(trajectory(network, x), by_z, by_h)
    difference = value(x + step * direction) - value(x - step * direction)
    np.testing.assert_allclose(
        np.sum(gradient * direction), difference / (2.0 * step), rtol=tolerance
    )
