"""A learning rate of its own for the recurrent weights, by Keras' `MultiOptimizer`."""

from pathlib import Path

import keras
import numpy as np
import pytest

import keras_urnn as ku
from tests.helpers import COMPUTED, assert_on_its_set, normal, to_numpy

RECURRENT = ".*/recurrent_[a-z_]+"
X = normal(4, 5, 2, seed=1).astype("float32")
Y = normal(4, 1, seed=2).astype("float32")
# How the weights are computed hardly depends on the backend.
EACH = [
    "projection",
    *[pytest.param(name, marks=pytest.mark.once) for name in COMPUTED],
]


def optimizers(recurrent, others):
    found = keras.optimizers.OptimizerMap(keras.optimizers.SGD(others))
    found[RECURRENT] = keras.optimizers.SGD(recurrent)
    return found


def compiled(layer, rates):
    model = keras.Sequential([keras.Input((5, 2)), layer, keras.layers.Dense(1)])
    model.compile(keras.optimizers.MultiOptimizer(rates), "mse", jit_compile=False)
    ku.optimizers.check_patterns(rates, model)
    return model


def moved(model, steps=1):
    """How far each trainable weight goes in some steps."""
    weights = model.trainable_weights
    before = [to_numpy(weight) for weight in weights]
    for _ in range(steps):
        model.train_on_batch(X, Y)
    return {
        weight.path: np.linalg.norm(to_numpy(weight) - was)
        for weight, was in zip(weights, before, strict=True)
    }


@pytest.mark.parametrize("name", EACH)
def test_the_recurrent_weights_learn_at_their_own_rate(name):
    def model(rate):
        made = COMPUTED[name].make() if name in COMPUTED else name
        is_unitary = name == "projection" or "unitary" in COMPUTED[name].sets
        kind = ku.UnitaryRNN if is_unitary else ku.ContractiveRNN
        return compiled(kind(4, "tanh", parametrization=made), optimizers(rate, 0.1))

    frozen, slow = model(0.0), model(0.01)
    slow.set_weights(frozen.get_weights())
    for path, distance in moved(frozen).items():
        # The projection may round a kernel that no step has moved.
        assert (distance <= 1e-6) == ("/recurrent_" in path)
    distances = moved(slow)
    assert all(distance > 0.0 for distance in distances.values())
    assert_on_its_set(slow.layers[0].cell)


def test_the_rates_follow_schedules_and_survive_a_file(tmp_path: Path) -> None:
    decay = keras.optimizers.schedules.ExponentialDecay(0.05, 1, 0.5)
    model = compiled(ku.UnitaryRNN(4, "tanh"), optimizers(decay, 0.05))
    moved(model, steps=3)
    path = tmp_path / "model.keras"
    model.save(path)
    loaded = keras.models.load_model(path)
    for one in (model, loaded):
        moved(one)
    for a, b in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    recurrent = [
        optimizer
        for optimizer in loaded.optimizer.optimizers
        if float(optimizer.learning_rate) < 0.05
    ]
    (rate,) = (float(one.learning_rate) for one in recurrent)
    assert rate == pytest.approx(0.05 * 0.5**4)


def test_a_pattern_that_picks_no_weight_is_seen():
    layer = ku.UnitaryRNN(4)
    model = keras.Sequential([keras.Input((5, 2)), layer])
    rates = optimizers(0.01, 0.1)
    rates["recurrent_kernel"] = keras.optimizers.SGD(0.1)
    words = r"Received: 'recurrent_kernel', which matches none of .*/recurrent_kernel"
    with pytest.raises(ValueError, match=words):
        ku.optimizers.check_patterns(rates, model)
    with pytest.raises(TypeError, match="`optimizer_map` must be an OptimizerMap"):
        ku.optimizers.check_patterns(lambda weight: None, model)
    with pytest.raises(ValueError, match="`model` must be built"):
        ku.optimizers.check_patterns(rates, keras.Sequential([ku.UnitaryRNN(3)]))
