"""Conversion and certificate of cells whose activation has weights."""

from typing import Any

import keras
import numpy as np
import pytest

import keras_urnn as ku
from tests.helpers import normal, to_numpy

STEPS, FEATURES, UNITS = 12, 3, 4


def layer_with(activation: str = "modrelu", **options: Any) -> Any:
    layer = ku.UnitaryRNN(UNITS, activation, return_sequences=True, **options)
    layer.build((None, STEPS, FEATURES))
    for seed, weight in enumerate([layer.cell.bias, *layer.activation.weights]):
        weight.assign(0.3 * normal(*weight.shape, seed=seed))
    return layer


def verdict(one: Any, other: Any) -> Any:
    return ku.verify_equivalence(one, other, input_bound=1.0, steps=STEPS)


@pytest.mark.parametrize("activation", ["modrelu", "oplu"])
@pytest.mark.parametrize("parametrization", [None, "cayley"])
def test_a_unitary_layer_is_copied_with_them(
    activation: str, parametrization: str | None
) -> None:
    layer = layer_with(activation)
    copy = ku.to_unitary(layer, input_bound=1.0, parametrization=parametrization)
    x = np.clip(normal(5, STEPS, FEATURES), -1.0, 1.0).astype("float32")
    np.testing.assert_allclose(to_numpy(copy(x)), to_numpy(layer(x)), rtol=0, atol=1e-5)
    assert copy.activation is not layer.activation
    report = verdict(layer, copy)
    assert report.equivalent, str(report)


def test_another_bias_of_the_activation_is_seen() -> None:
    layer = layer_with()
    copy = ku.to_unitary(layer, input_bound=1.0)
    bias = copy.activation.bias
    bias.assign(to_numpy(bias) - 0.2)
    report = verdict(layer, copy)
    assert not report.equivalent, str(report)


def test_theorem_1_names_what_it_does_not_cover() -> None:
    layer = ku.ContractiveRNN(UNITS, "modrelu")
    layer.build((None, STEPS, FEATURES))
    for verb in (ku.to_unitary, ku.prune_inactive):
        with pytest.raises(ValueError, match=r"constant on a half-line.*ModReLU"):
            verb(layer, input_bound=1.0)


def test_a_model_around_it_is_converted() -> None:
    inputs = keras.Input((STEPS, FEATURES))
    before = ku.ContractiveRNN(FEATURES, max_norm=0.9, return_sequences=True)
    model = keras.Model(inputs, layer_with("oplu")(before(inputs)))
    converted = ku.to_unitary(model, input_bound=1.0)
    x = np.clip(normal(5, STEPS, FEATURES), -1.0, 1.0).astype("float32")
    np.testing.assert_allclose(
        to_numpy(converted(x)), to_numpy(model(x)), rtol=0, atol=1e-5
    )
