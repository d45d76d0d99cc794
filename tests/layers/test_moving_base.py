"""The base of `R = B f(A - A₀)` follows the matrix in training, and only there."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import keras_urnn as ku
from keras_urnn.parametrizations import Cayley, Exponential
from tests.helpers import (
    BATCH,
    FEATURES,
    STEPS,
    UNITS,
    assert_on_its_set,
    compile_model,
    normal,
    sequences,
    to_numpy,
)

Y = normal(BATCH, UNITS, seed=2)


def model_with(every: int = 2, make: Any = Exponential, **arguments: Any) -> Any:
    layer = ku.UnitaryRNN(UNITS, parametrization=make(rebase_every=every), **arguments)
    return keras.Sequential([keras.Input((STEPS, FEATURES)), layer])


def cell_of(model: Any) -> Any:
    return model.layers[-1].cell


def train(model: Any, steps: int) -> None:
    for _ in range(steps):
        model.train_on_batch(sequences(), Y)


def state_of(cell: Any) -> list[Any]:
    fixed = (cell.recurrent_base, cell.recurrent_offset, cell.recurrent_steps)
    return [to_numpy(weight) for weight in fixed]


def test_it_moves_after_as_many_steps_as_it_was_told() -> None:
    model = compile_model(model_with(every=3), keras.optimizers.Adam(0.1), "mse")
    start, counts = state_of(cell_of(model))[0], []
    for step in range(1, 8):
        train(model, 1)
        base, _, steps = state_of(cell_of(model))
        counts.append(int(steps))
        assert (np.max(np.abs(base - start)) > 1e-3) == (step > 3)
        assert_on_its_set(cell_of(model))
    assert counts == [1, 2, 3, 1, 2, 3, 1]


def test_a_base_of_complex_numbers_moves_likewise() -> None:
    given = Exponential(rebase_every=2, field="complex")
    layer = ku.UnitaryRNN(UNITS, "modrelu", parametrization=given)
    model = keras.Sequential([keras.Input((STEPS, FEATURES)), layer])
    compile_model(model, keras.optimizers.SGD(0.1), "mse")
    y, bases = normal(BATCH, 2 * UNITS, seed=2), []
    for _ in range(4):
        before = to_numpy(layer.recurrent_matrix())
        model.train_on_batch(sequences(), y)
        assert_on_its_set(layer.cell)
        bases.append(to_numpy(layer.cell.recurrent_base))
    # The base of the third step is the matrix that the second one ended with.
    np.testing.assert_array_equal(bases[0], bases[1])
    np.testing.assert_array_equal(bases[2], bases[3])
    assert np.max(np.abs(bases[2] - bases[1])) > 1e-4
    assert np.max(np.abs(before[:UNITS] - bases[3])) > 1e-5
    A, B = np.split(bases[3], 2, axis=1)
    Q = A + 1j * B
    np.testing.assert_allclose(Q.conj().T @ Q, np.eye(UNITS), rtol=0, atol=1e-6)


OPTIMIZERS = {
    "AdamW": lambda: keras.optimizers.AdamW(0.1, weight_decay=0.5),
    "averaged": lambda: keras.optimizers.Adam(0.1, use_ema=True),
    "Ftrl": lambda: keras.optimizers.Ftrl(0.1),
    "Lion": lambda: keras.optimizers.Lion(0.1),
    "accumulating": lambda: keras.optimizers.SGD(0.1, gradient_accumulation_steps=2),
}


@pytest.mark.once
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_no_optimizer_changes_the_base(name: str) -> None:
    model = compile_model(model_with(every=2), OPTIMIZERS[name](), "mse")
    cell = cell_of(model)
    for step in range(5):
        before = to_numpy(cell.recurrent_matrix())
        model.fit(sequences(), Y, verbose=0)
        assert_on_its_set(cell)
        if step % 2 == 0 and step > 0:  # this step began at the base that it moved to
            base = state_of(cell)[0]
            np.testing.assert_allclose(base, before, rtol=0, atol=1e-6)


def test_it_goes_on_as_if_it_had_not_been_saved(tmp_path: Path) -> None:
    model = compile_model(model_with(every=2), keras.optimizers.Adam(0.1), "mse")
    train(model, 3)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for one in (model, loaded):
        train(one, 2)
    for one, other in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_only_a_training_step_counts() -> None:
    model = compile_model(model_with(every=1), keras.optimizers.Adam(0.1), "mse")
    train(model, 2)
    cell = cell_of(model)
    before = state_of(cell)
    model.predict(sequences(), verbose=0)
    model.evaluate(sequences(), Y, verbose=0)
    keras.layers.RNN(cell)(sequences())
    np.testing.assert_equal(state_of(cell), before)
    model.layers[-1].trainable = False
    model.layers[-1](sequences(), training=True)
    np.testing.assert_equal(state_of(cell), before)


def test_a_layer_that_is_called_twice_in_a_step_trains() -> None:
    layer = ku.UnitaryRNN(
        FEATURES, parametrization=Cayley(rebase_every=1), return_sequences=True
    )
    inputs = keras.Input((STEPS, FEATURES))
    model = keras.Model(inputs, layer(layer(inputs)))
    compile_model(model, keras.optimizers.Adam(0.1), "mse")
    before = to_numpy(layer.recurrent_matrix())
    for _ in range(2):
        model.train_on_batch(sequences(), normal(BATCH, STEPS, FEATURES, seed=2))
    assert_on_its_set(layer.cell)
    assert np.max(np.abs(to_numpy(layer.recurrent_matrix()) - before)) > 1e-2


@pytest.mark.once
@pytest.mark.parametrize("make", [Cayley, Exponential])
def test_rounding_does_not_build_up_in_it(make: Any) -> None:
    cell = cell_of(model_with(every=1, make=make))
    for step in range(60):
        cell.recurrent_skew.assign_add(normal(UNITS, UNITS, seed=step))
        cell.parametrization.before_training_step()
    assert_on_its_set(cell)
    base = state_of(cell)[0]
    error = np.max(np.abs(base.T @ base - np.eye(UNITS)))
    assert error <= 4 * UNITS * 2.0**-23


@pytest.mark.once
def test_it_has_float32_when_the_weights_have_less() -> None:
    model = compile_model(
        model_with(every=1, dtype="bfloat16"), keras.optimizers.SGD(0.1), "mse"
    )
    cell = cell_of(model)
    assert str(cell.recurrent_skew.dtype) == "bfloat16"
    assert str(cell.recurrent_base.dtype) == "float32"
    train(model, 3)
    base = state_of(cell)[0]
    error = np.max(np.abs(base.T @ base - np.eye(UNITS)))
    assert error <= 4 * UNITS * 2.0**-23


@pytest.mark.once
def test_refuses_what_is_no_number_of_steps() -> None:
    for make in (Cayley, Exponential):
        for value in (0, -1, 1.5, True, "2"):
            with pytest.raises(ValueError, match="`rebase_every` must be a positive"):
                make(rebase_every=value)
