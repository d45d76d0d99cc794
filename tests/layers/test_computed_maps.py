"""Layers whose recurrent matrix a parametrization computes from other weights."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import keras_urnn as ku
from tests import gradients
from tests.helpers import (
    BATCH,
    COMPUTED,
    FEATURES,
    STEPS,
    TOLERANCE,
    UNITS,
    assert_on_its_set,
    each_computed,
    each_full,
    normal,
    randomize,
    reference_states,
    sequences,
    to_numpy,
)

GOLDEN = Path(__file__).parents[1] / "golden"


def kind_of(name: str) -> Any:
    unitary = "unitary" in COMPUTED[name].sets
    return ku.UnitaryRNN if unitary else ku.ContractiveRNN


def layer_with(name: str, **arguments: Any) -> Any:
    layer = kind_of(name)(UNITS, parametrization=COMPUTED[name].make(), **arguments)
    layer.build((BATCH, STEPS, FEATURES))
    randomize(layer.cell)
    return layer


def relu(z: Any) -> Any:
    return np.maximum(z, 0.0)


def elu(z: Any) -> Any:
    return np.where(z > 0.0, z, np.expm1(np.minimum(z, 0.0)))


@each_computed
@pytest.mark.parametrize("activation", [relu, elu])
@pytest.mark.parametrize("masked", [False, True])
def test_states_are_those_of_the_reference(
    name: str, activation: Any, masked: bool
) -> None:
    layer = layer_with(name, activation=activation.__name__, return_sequences=True)
    assert layer.uses_fused_recurrence == (activation is relu)
    mask = normal(BATCH, STEPS, seed=4) > -0.5 if masked else None
    if mask is not None:
        mask[:, 0] = True
    found = layer(sequences(), mask=mask)
    expected = reference_states(layer.cell, sequences(), activation, mask)
    np.testing.assert_allclose(
        to_numpy(found), expected, rtol=0, atol=TOLERANCE["float32"]
    )


def evaluations(name: str) -> int:
    """In a training step: once for the sequence, and once for a base that may move."""
    return 2 if "base" in name else 1


@each_computed
def test_the_fused_recurrence_forms_the_matrix_once_per_sequence(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = layer_with(name)
    model = keras.Sequential([keras.Input((STEPS, FEATURES)), layer])
    parametrization, calls = layer.cell.parametrization, []
    prepare = parametrization.prepare
    monkeypatch.setattr(
        parametrization, "prepare", lambda: calls.append(None) or prepare()
    )
    assert layer.uses_fused_recurrence
    layer(sequences())
    assert len(calls) == 1
    calls.clear()
    y = normal(BATCH, UNITS, seed=2)
    gradients.of_error(model, sequences(), y, compiled=False)
    assert len(calls) == evaluations(name)


@each_computed
@pytest.mark.parametrize(
    "plain",
    [{"activation": "elu"}, {"recurrent_dropout": 0.5}, {"resting_state": [0.5] * 5}],
    ids=lambda arguments: next(iter(arguments)),
)
def test_the_map_is_evaluated_once_per_sequence(
    name: str, plain: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = layer_with(name, **plain)
    parametrization, calls = layer.cell.parametrization, []
    prepare = parametrization.prepare
    monkeypatch.setattr(
        parametrization, "prepare", lambda: calls.append(None) or prepare()
    )
    assert not layer.uses_fused_recurrence
    layer(sequences(), training=True)
    assert len(calls) == evaluations(name)
    # Keras' own layer knows nothing of it: its loop evaluates the map in the step.
    calls.clear()
    keras.layers.RNN(layer.cell, unroll=True)(sequences())
    assert len(calls) == STEPS


@each_computed
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16", "bfloat16"])
def test_half_precision_leaves_the_map_in_float32(name: str, policy: str) -> None:
    layer = layer_with(name, dtype=policy, return_sequences=True)
    model = keras.Sequential([keras.Input((STEPS, FEATURES)), layer])
    model.compile(keras.optimizers.SGD(0.1), "mse")
    before = to_numpy(layer.recurrent_matrix())
    model.train_on_batch(sequences(), normal(BATCH, STEPS, UNITS, seed=2))
    assert np.max(np.abs(to_numpy(layer.recurrent_matrix()) - before)) > 0.0
    assert_on_its_set(layer.cell)
    states = reference_states(layer.cell, sequences(), relu)
    # Some ten roundings a step to 8 or 11 bits, of values of about 1.
    epsilon = 2.0**-10 if "float16" in policy and "b" not in policy else 2.0**-7
    loop = keras.layers.RNN(layer.cell, return_sequences=True, dtype=policy)
    for rnn in (layer, loop):
        found = to_numpy(keras.ops.cast(rnn(sequences()), "float32"))
        np.testing.assert_allclose(found, states, rtol=0, atol=10 * STEPS * epsilon)


@each_computed
def test_training_with_averaged_weights_stays_on_the_set(name: str) -> None:
    layer = layer_with(name)
    model = keras.Sequential([keras.Input((STEPS, FEATURES)), layer])
    model.compile(keras.optimizers.Adam(0.1, use_ema=True), "mse")
    before = to_numpy(layer.recurrent_matrix())
    monitor = ku.callbacks.UnitarityMonitor()
    x, y = sequences(), normal(BATCH, UNITS, seed=2)
    history = model.fit(x, y, epochs=3, verbose=0, callbacks=[monitor]).history
    assert_on_its_set(layer.cell)
    assert np.max(np.abs(to_numpy(layer.recurrent_matrix()) - before)) > 1e-3
    assert len(history["unitarity_error"]) == len(history["spectral_norm"]) == 3
    norms = history["spectral_norm"]
    if kind_of(name) is ku.UnitaryRNN:
        assert norms == pytest.approx([1.0] * 3, abs=1e-5)
    else:
        assert max(norms) < layer.max_norm


class BuiltByItsFirstBatch(keras.Model):
    def __init__(self, name: str) -> None:
        super().__init__()
        self.rnn = kind_of(name)(UNITS, parametrization=COMPUTED[name].make())

    def call(self, x: Any) -> Any:
        return self.rnn(x)


@each_computed
def test_a_model_that_its_first_batch_builds_starts_from_the_initial_matrix(
    name: str,
) -> None:
    model = BuiltByItsFirstBatch(name)
    identity = keras.initializers.Identity()
    model.rnn.cell.recurrent_initializer = identity
    model.compile(keras.optimizers.SGD(1e-4), "mse")
    model.fit(sequences(), normal(BATCH, UNITS, seed=2), verbose=0)
    assert_on_its_set(model.rnn.cell)
    matrix = to_numpy(model.rnn.recurrent_matrix())
    expected = np.eye(UNITS)
    expected[-1, -1] = -1.0 if "sign" in name else 1.0
    np.testing.assert_allclose(matrix, expected, rtol=0, atol=0.1)


@pytest.mark.once
def test_the_monitor_leaves_out_a_layer_that_was_never_called() -> None:
    model = BuiltByItsFirstBatch("cayley")
    model.unused = ku.UnitaryRNN(3)
    with pytest.warns(UserWarning, match="unbuilt state"):
        model(sequences())
    monitor = ku.callbacks.UnitarityMonitor()
    monitor.set_model(model)
    logs: dict[str, Any] = {}
    monitor.on_epoch_end(0, logs)
    assert set(logs) == {"unitarity_error", "spectral_norm", "determinant_sign"}


@each_computed
def test_saved_loaded_and_cloned_it_is_the_same(name: str, tmp_path: Path) -> None:
    layer = layer_with(name)
    model = keras.Sequential([keras.Input((STEPS, FEATURES)), layer])
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    cloned = keras.models.clone_model(model)
    cloned.set_weights(model.get_weights())
    for copy in (loaded, cloned):
        matrix = copy.layers[0].recurrent_matrix()
        np.testing.assert_array_equal(
            to_numpy(matrix), to_numpy(layer.recurrent_matrix())
        )
        np.testing.assert_array_equal(
            to_numpy(copy(sequences())), to_numpy(model(sequences()))
        )


@pytest.mark.parametrize("name", sorted({*ku.parametrizations.NAMES} - {"projection"}))
def test_golden_file_gives_its_outputs_on_every_backend(name: str) -> None:
    # Made once under TensorFlow, by golden/make_golden.py.
    model = keras.models.load_model(GOLDEN / f"{name}.keras")
    data = np.load(GOLDEN / f"{name}.npz")
    kinds = [type(layer.cell.parametrization) for layer in model.layers]
    assert kinds == [ku.parametrizations.NAMES[name]]
    np.testing.assert_allclose(
        to_numpy(model(data["x"])), data["y"], rtol=0, atol=TOLERANCE["float32"]
    )


@each_full
def test_a_warm_start_takes_the_nearest_matrix(name: str) -> None:
    simple = keras.layers.SimpleRNN(UNITS)
    simple.build((BATCH, STEPS, FEATURES))
    kernel = 0.3 * normal(UNITS, UNITS, seed=7)
    simple.cell.recurrent_kernel.assign(kernel)
    with pytest.warns(UserWarning, match="moved by"):
        layer = ku.UnitaryRNN.from_simple_rnn(
            simple, parametrization=COMPUTED[name].make()
        )
    u, _, vt = np.linalg.svd(kernel)
    np.testing.assert_allclose(
        to_numpy(layer.recurrent_matrix()), u @ vt, rtol=0, atol=TOLERANCE["float32"]
    )
