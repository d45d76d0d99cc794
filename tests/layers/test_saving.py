"""Saved files: bit-equal in a fresh process, and the same on another backend."""

import runpy
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import keras_urnn as ku
from tests.helpers import FEATURES, STEPS, UNITS, randomize, sequences, to_numpy
from tests.layers.kinds import OTHERS, SideBySide, layers_of_each

GOLDEN = Path(__file__).parents[1] / "golden"

LOAD = """
import keras
import numpy as np
import keras_urnn

there = keras.models.load_model("there.keras")
np.save("outputs.npy", there.predict(np.load("x.npy"), verbose=0))
for i, weight in enumerate(there.get_weights()):
    np.save(f"weight_{i}.npy", weight)
rebuilt = keras.models.model_from_json(there.to_json())
rebuilt.load_weights("there.weights.h5")
np.save("rebuilt.npy", rebuilt.predict(np.load("x.npy"), verbose=0))
"""

LOAD_KINDS = """
import keras
import numpy as np
import keras_urnn

there = keras.models.load_model("kinds.keras")
outputs = keras.ops.convert_to_numpy(there(np.load("x.npy"), training=False))
np.savez(keras.config.backend(), outputs, *there.get_weights())
"""
# Each backend writes for one other, and reads what one other has written.
READER = {"torch": "tensorflow", "tensorflow": "jax", "jax": "torch"}


def everything() -> Any:
    """Return a model with every way our cells can stand in one, no weight zero."""
    inputs = keras.Input((STEPS, FEATURES))
    layers = [
        ku.UnitaryRNN(UNITS, "tanh", return_sequences=True, learn_initial_state=True),
        keras.layers.Bidirectional(
            ku.ContractiveRNN(UNITS, output_units=2, return_sequences=True)
        ),
        keras.layers.RNN(
            [
                ku.UnitaryRNNCell(UNITS, skip=ku.Skip(0.2, trainable=True)),
                ku.ContractiveRNNCell(UNITS, output_units=3),
            ]
        ),
    ]
    value = inputs
    for layer in layers:
        value = layer(value)
    first, both, stack = layers
    cells = [both.forward_layer.cell, both.backward_layer.cell, *stack.cell.cells]
    for cell in (first.cell, *cells):
        randomize(cell)
    return keras.Model(inputs, value)


def test_loads_bit_equal_in_a_fresh_process(
    tmp_path: Path, run_python: Callable[..., str]
) -> None:
    model, x = everything(), sequences()
    model.save(tmp_path / "there.keras")
    model.save_weights(tmp_path / "there.weights.h5")
    np.save(tmp_path / "x.npy", x)
    run_python(LOAD)  # no custom_objects in it
    expected = model.predict(x, verbose=0)
    assert np.max(np.abs(expected)) > 0.1
    for name in ("outputs.npy", "rebuilt.npy"):
        np.testing.assert_array_equal(np.load(tmp_path / name), expected)
    for i, weight in enumerate(model.get_weights()):
        np.testing.assert_array_equal(np.load(tmp_path / f"weight_{i}.npy"), weight)


@pytest.mark.once
def test_a_trained_layer_of_each_kind_is_the_same_elsewhere(
    tmp_path: Path, run_python: Callable[..., str]
) -> None:
    units = 4  # of which each kind can be made
    others = {name: make(units) for name, make in OTHERS.items()}
    kinds = SideBySide(layers_of_each(units) | others)
    before = kinds.model.get_weights()
    kinds.train(keras.optimizers.Adam(0.05), steps=3)
    for start, weight in zip(before, kinds.model.weights, strict=True):
        # Bases have moved, too, before the third step.
        if weight.trainable or weight.name == "recurrent_base":
            assert not np.array_equal(start, to_numpy(weight)), weight.path
    x, here = sequences(), keras.config.backend()
    kinds.model.save(tmp_path / "kinds.keras")
    np.save(tmp_path / "x.npy", x)
    expected = kinds.by_layer(to_numpy(kinds.model(x, training=False)))
    for backend, tolerance in ((here, 0.0), (READER[here], 1e-5)):
        run_python(LOAD_KINDS, KERAS_BACKEND=backend)
        outputs, *weights = np.load(tmp_path / f"{backend}.npz").values()
        for found, weight in zip(weights, kinds.model.get_weights(), strict=True):
            np.testing.assert_array_equal(found, weight)
        for name, output in kinds.by_layer(outputs).items():
            assert np.max(np.abs(output)) > 0.1, name
            assert np.max(np.abs(output - expected[name])) <= tolerance, name


def test_optimizer_state_goes_on_after_loading(tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((3, FEATURES)), ku.UnitaryRNN(UNITS, "tanh")])
    model.compile(keras.optimizers.Adam(0.1), "mse", jit_compile=False)
    x, y = sequences(3), np.ones((len(sequences()), UNITS))
    model.train_on_batch(x, y)
    model.save(tmp_path / "trained.keras")
    loaded = keras.models.load_model(tmp_path / "trained.keras")
    np.testing.assert_array_equal(to_numpy(loaded(x)), to_numpy(model(x)))
    for one in (model, loaded):
        one.train_on_batch(x, y)
    for a, b in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_golden_file_gives_its_outputs_on_every_backend() -> None:
    # Made once under TensorFlow, by golden/make_golden.py.
    model = keras.models.load_model(GOLDEN / "golden.keras")
    data = np.load(GOLDEN / "golden.npz")
    got = model.predict(data["x"], verbose=0)
    # The bound for equality between backends.
    np.testing.assert_allclose(got, data["y"], rtol=0, atol=1e-5)
    assert np.max(np.abs(data["y"])) > 0.1
    (last,) = (w for w in model.weights if w.path.endswith("initial_state"))
    assert np.all(to_numpy(last) != 0.0)


def test_golden_file_holds_one_of_each() -> None:
    model = keras.models.load_model(GOLDEN / "golden.keras")
    names = {type(layer).__name__ for layer in model._flatten_layers()}
    ours = {"UnitaryRNN", "ContractiveRNN", "UnitaryRNNCell", "ContractiveRNNCell"}
    assert ours <= names


@pytest.mark.once
def test_golden_script_refuses_to_overwrite(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "make_golden.py"
    shutil.copy(GOLDEN / "make_golden.py", script)
    (tmp_path / "golden.keras").write_text("kept")
    monkeypatch.setattr(sys, "argv", [str(script)])
    with pytest.raises(SystemExit, match="loaded for ever"):
        runpy.run_path(str(script), run_name="__main__")
    assert (tmp_path / "golden.keras").read_text() == "kept"
    assert not (tmp_path / "golden.npz").exists()


@pytest.mark.parametrize("make_layer", [ku.UnitaryRNN, ku.ContractiveRNN])
def test_a_loaded_stateful_layer_starts_where_it_learned_to_after_a_reset(
    make_layer: Callable[..., Any], tmp_path: Path
) -> None:
    layer = make_layer(UNITS, stateful=True, learn_initial_state=True)
    x = sequences()
    model = keras.Sequential([keras.Input(batch_shape=x.shape), layer])
    randomize(layer.cell)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    for one in (layer, loaded.layers[0]):
        one.reset_state()
    np.testing.assert_array_equal(
        to_numpy(loaded(x, training=False)), to_numpy(model(x, training=False))
    )
