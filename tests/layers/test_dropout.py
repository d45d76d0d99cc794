"""Dropout of inputs and states: on all of them, in training only, seeded."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

from tests.helpers import (
    BATCH,
    FEATURES,
    TOLERANCE,
    UNITS,
    Array,
    assert_on_its_set,
    built,
    compile_model,
    each_layer,
    normal,
    sequences,
    to_numpy,
)

RATE, WIDTH, ROWS = 0.4, 24, 40


def assert_is_mask(mask: Array, tolerance: float = 1e-5) -> None:
    """Check for zeros and `1 / (1 - RATE)`, in about the right proportion."""
    kept = mask > 0.5
    np.testing.assert_allclose(
        mask, np.where(kept, 1 / (1 - RATE), 0.0), rtol=0, atol=tolerance
    )
    # Five standard errors of a binomial.
    assert abs(np.mean(kept) - (1 - RATE)) < 5 * np.sqrt(0.25 / mask.size)


def states_after(layer: Any, x: Array, output_units: int | None) -> Array:
    """Return the last state, joined, from a first state of ones."""
    m = output_units
    ones = np.ones((ROWS, WIDTH), "float32")
    initial = [ones] if m is None else [ones[:, :m], ones[:, m:]]
    _, *states = layer(x, initial_state=initial, training=True)
    return np.concatenate([to_numpy(state) for state in states], axis=-1)


def linear(make_layer: Callable[..., Any], **arguments: Any) -> Any:
    """Return a layer with φ the identity, no bias, and the state as second output."""
    return make_layer(WIDTH, None, use_bias=False, return_state=True, **arguments)


@each_layer
@pytest.mark.parametrize("output_units", [None, 10])
@pytest.mark.parametrize("over", ["layer", "plain-rnn"])
def test_recurrent_mask_covers_every_state_and_stays_over_the_steps(
    make_layer: Callable[..., Any], output_units: int | None, over: str
) -> None:
    layer = linear(
        make_layer, output_units=output_units, recurrent_dropout=RATE, seed=5
    )
    layer.build((ROWS, 2, WIDTH))
    R = to_numpy(layer.recurrent_matrix())
    zeros = np.zeros((ROWS, 2, WIDTH), "float32")
    sequence = layer
    if over == "plain-rnn":
        sequence = keras.layers.RNN(layer.cell, return_state=True)

    once = states_after(sequence, zeros[:, :1], output_units) @ np.linalg.inv(R)
    assert_is_mask(once)
    assert_is_mask(once[:, 10:])
    # h_2 = (m R ∘ m) R from a state of ones: the same m twice.
    twice = states_after(sequence, zeros, output_units) @ np.linalg.inv(R)
    mask = np.where(np.abs(twice) > 1e-5, 1 / (1 - RATE), 0.0)
    assert_is_mask(mask)
    np.testing.assert_allclose(twice, (mask @ R) * mask, rtol=0, atol=1e-5)


@each_layer
def test_what_is_dropped_is_the_distance_from_rest(
    make_layer: Callable[..., Any],
) -> None:
    resting = np.arange(1.0, WIDTH + 1.0)
    layer = linear(make_layer, recurrent_dropout=RATE, resting_state=resting)
    layer.build((ROWS, 1, WIDTH))
    layer.cell.kernel.assign(np.zeros((WIDTH, WIDTH)))
    zeros = np.zeros((ROWS, 1, WIDTH), "float32")
    start = np.tile(resting + 1.0, (ROWS, 1)).astype("float32")
    R = to_numpy(layer.recurrent_matrix())
    last, _ = layer(zeros, initial_state=start, training=True)
    assert_is_mask(to_numpy(last) @ np.linalg.inv(R))


@each_layer
def test_input_mask_scales_and_stays_over_the_steps(
    make_layer: Callable[..., Any],
) -> None:
    layer = linear(make_layer, dropout=RATE, return_sequences=True)
    layer.build((ROWS, 2, WIDTH))
    layer.cell.kernel.assign(np.eye(WIDTH))
    layer.cell.recurrent_kernel.assign(np.zeros((WIDTH, WIDTH)))
    outputs, _ = layer(np.ones((ROWS, 2, WIDTH)), training=True)
    masks = to_numpy(outputs)
    assert_is_mask(masks[:, 0])
    np.testing.assert_array_equal(masks[:, 0], masks[:, 1])
    again, _ = layer(np.ones((ROWS, 2, WIDTH)), training=True)
    assert np.any(to_numpy(again) != masks), "each call draws anew"


@each_layer
@pytest.mark.parametrize("output_units", [None, 2])
@pytest.mark.parametrize("argument", ["dropout", "recurrent_dropout"])
def test_dropout_is_off_at_inference(
    make_layer: Callable[..., Any], argument: str, output_units: int | None
) -> None:
    arguments = {"output_units": output_units, "return_sequences": True}
    without = built(make_layer(UNITS, **arguments))
    layer = built(make_layer(UNITS, **arguments, **{argument: 0.5}))
    layer.set_weights(without.get_weights())
    x = sequences()
    expected = to_numpy(without(x))
    for outputs in (layer(x), layer(x, training=False)):
        # To rounding: with recurrent dropout the layer runs Keras' loop.
        np.testing.assert_allclose(
            to_numpy(outputs), expected, rtol=0, atol=TOLERANCE["float32"]
        )
    assert np.max(np.abs(to_numpy(layer(x, training=True)) - expected)) > 0.01


@each_layer
@pytest.mark.parametrize("argument", ["dropout", "recurrent_dropout"])
def test_seeds_decide_the_masks(make_layer: Callable[..., Any], argument: str) -> None:
    def outputs(seed: int) -> Array:
        layer = built(make_layer(UNITS, seed=seed, **{argument: 0.5}))
        return to_numpy(layer(sequences(), training=True))

    np.testing.assert_array_equal(outputs(1), outputs(1))
    assert np.any(outputs(1) != outputs(2))


@each_layer
@pytest.mark.parametrize("output_units", [None, 2])
def test_fits_with_dropout(
    make_layer: Callable[..., Any], output_units: int | None
) -> None:
    arguments = {"dropout": 0.2, "recurrent_dropout": 0.3, "seed": 5}
    # ReLU may let no gradient through with some masks.
    layer = make_layer(UNITS, "tanh", output_units=output_units, **arguments)
    x, y = sequences(), normal(BATCH, 1)
    inputs = keras.Input(x.shape[1:])
    model = keras.Sequential([inputs, layer, keras.layers.Dense(1)])
    compile_model(model, keras.optimizers.SGD(0.1), "mse", jit_compile=False)
    before = to_numpy(layer.cell.recurrent_kernel)
    history = model.fit(x, y, epochs=2, verbose=0)
    assert np.all(np.isfinite(history.history["loss"]))
    assert np.max(np.abs(to_numpy(layer.cell.recurrent_kernel) - before)) > 1e-4
    assert_on_its_set(layer.cell)


@each_layer
def test_stacked_cells_with_dropout_fit(make_layer: Callable[..., Any]) -> None:
    arguments = {"dropout": 0.2, "recurrent_dropout": 0.3, "output_units": 2}
    cells = [make_layer(UNITS, **arguments).cell for _ in range(2)]
    model = keras.Sequential([keras.layers.RNN(cells)])
    model.compile("sgd", "mse", jit_compile=False)
    x = normal(BATCH, 3, FEATURES)
    history = model.fit(x, normal(BATCH, 2), verbose=0)
    assert np.isfinite(history.history["loss"][0])
    for cell in cells:
        assert_on_its_set(cell)
