"""The RNN without a constraint that the examples compare with is Keras' own."""

from typing import Any

import classifiers
import keras
import numpy as np
import pytest
import synthetic_learning
import synthetic_system

from tests.helpers import normal

STEPS, UNITS = 64, 4


def classifier() -> Any:
    return classifiers.build("plain", STEPS, UNITS)


def regressor() -> Any:
    system = synthetic_system.Recipe(length=STEPS)
    return synthetic_learning.build_model("rnn", UNITS, system, "orthogonal")


@pytest.mark.parametrize("build", [classifier, regressor])
def test_trains_as_simple_rnn(build: Any) -> None:
    keras.utils.set_random_seed(0)
    ours = build()
    layer, dense = ours.layers
    assert layer.uses_fused_recurrence
    keras_layer = keras.layers.SimpleRNN(
        UNITS, "relu", return_sequences=layer.return_sequences
    )
    twin = keras.Sequential(
        [
            keras.Input(ours.input_shape[1:]),
            keras_layer,
            type(dense).from_config(dense.get_config()),
        ]
    )
    twin.set_weights(ours.get_weights())
    before = ours.get_weights()[1]
    x = normal(8, *ours.input_shape[1:]).astype("float32")
    y = normal(8, *ours.output_shape[1:]).astype("float32")
    for model in (ours, twin):
        model.compile(keras.optimizers.SGD(0.1), "mse")
        model.fit(x, y, batch_size=4, epochs=3, shuffle=False, verbose=0)
    for one, other in zip(ours.get_weights(), twin.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-5)
    after = ours.get_weights()[1]
    assert np.abs(before.T @ before - np.eye(UNITS)).max() < 1e-5
    assert np.abs(after.T @ after - np.eye(UNITS)).max() > 1e-3
