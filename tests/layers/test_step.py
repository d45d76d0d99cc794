"""The step equation, `h_t = φ(h_{t-1} R + x_t K + b)`, against a loop in NumPy."""

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
    VARIANTS,
    Array,
    built,
    each_cell,
    each_layer,
    each_variant,
    normal,
    precision,
    randomize,
    reference_states,
    sequences,
    smooth,
    to_numpy,
)


def identity(z: Array) -> Array:
    return z


def relu(z: Array) -> Array:
    return np.maximum(z, 0.0)


def leaky_relu(z: Array) -> Array:
    return np.maximum(z, 0.5 * z)


# What a user passes, and the same in NumPy.
ACTIVATIONS: dict[str, tuple[Callable[[], Any], Callable[[Array], Array]]] = {
    "none": (lambda: None, identity),
    "linear": (lambda: "linear", identity),
    "relu": (lambda: "relu", relu),
    "tanh": (lambda: "tanh", np.tanh),
    "layer": (lambda: keras.layers.LeakyReLU(negative_slope=0.5), leaky_relu),
    "callable": (lambda: smooth, smooth),
}


def assert_steps(layer: Any, activation: Callable[[Array], Array], dtype: str) -> None:
    x = sequences()
    expected = reference_states(layer.cell, x, activation)
    outputs, *states = layer(x)
    tolerance = TOLERANCE[dtype]
    shown = expected[..., : layer.cell.output_size]
    np.testing.assert_allclose(to_numpy(outputs), shown, rtol=0, atol=tolerance)
    last = np.concatenate([to_numpy(state) for state in states], axis=-1)
    np.testing.assert_allclose(last, expected[:, -1], rtol=0, atol=tolerance)
    assert np.ptp(shown) > 0.1, "the outputs differ from each other"


@each_layer
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_layer_steps_with_any_activation(
    make_layer: Callable[..., Any], name: str
) -> None:
    make_activation, activation = ACTIVATIONS[name]
    arguments = {"return_sequences": True, "return_state": True, **VARIANTS["both"]}
    layer = built(make_layer(UNITS, make_activation(), **arguments))
    assert_steps(layer, activation, "float32")


@each_layer
@each_variant
def test_layer_steps_in_every_variant(
    make_layer: Callable[..., Any], variant: dict[str, Any]
) -> None:
    arguments = {"return_sequences": True, "return_state": True, **variant}
    assert_steps(built(make_layer(UNITS, **arguments)), relu, "float32")


@each_layer
@pytest.mark.parametrize("variant", ["plain", "both"])
def test_layer_steps_in_float64(make_layer: Callable[..., Any], variant: str) -> None:
    arguments = {"return_sequences": True, "return_state": True, **VARIANTS[variant]}
    with precision("float64"):
        layer = built(make_layer(UNITS, smooth, **arguments))
        assert layer.cell.recurrent_kernel.dtype == "float64"
        assert_steps(layer, smooth, "float64")


@each_cell
@each_variant
def test_cell_steps_once(
    make_cell: Callable[..., Any], variant: dict[str, Any]
) -> None:
    cell = make_cell(UNITS, "tanh", **variant)
    cell.build((BATCH, FEATURES))
    randomize(cell)
    start, x = normal(BATCH, UNITS, seed=2).astype("float32"), sequences(1)
    m = cell.output_size
    states = [start] if m == UNITS else [start[:, :m], start[:, m:]]
    output, new_states = cell(x[:, 0], states)

    expected = reference_states(cell, x, np.tanh, start=start)[:, 0]
    joined = np.concatenate([to_numpy(state) for state in new_states], axis=-1)
    tolerance = TOLERANCE["float32"]
    np.testing.assert_allclose(joined, expected, rtol=0, atol=tolerance)
    np.testing.assert_array_equal(to_numpy(output), to_numpy(new_states[0]))
    assert isinstance(new_states, list), "JAX refuses a tuple"


@each_cell
def test_cell_steps_with_a_bare_state(make_cell: Callable[..., Any]) -> None:
    cell = make_cell(UNITS, "tanh")
    cell.build((BATCH, FEATURES))
    start, x = normal(BATCH, UNITS, seed=2).astype("float32"), sequences(1)
    output, state = cell(x[:, 0], start)
    expected = reference_states(cell, x, np.tanh, start=start)[:, 0]
    for value in (output, state):
        np.testing.assert_allclose(
            to_numpy(value), expected, rtol=0, atol=TOLERANCE["float32"]
        )


@each_cell
def test_a_bare_state_gives_the_first_states_as_output(
    make_cell: Callable[..., Any],
) -> None:
    cell = make_cell(UNITS, output_units=2)
    cell.build((BATCH, FEATURES))
    start = normal(BATCH, UNITS, seed=2).astype("float32")
    output, state = cell(sequences(1)[:, 0], start)
    assert state.shape == (BATCH, UNITS)
    np.testing.assert_array_equal(to_numpy(output), to_numpy(state)[:, :2])


@each_layer
@each_variant
def test_layer_is_rnn_over_its_cell(
    make_layer: Callable[..., Any], variant: dict[str, Any]
) -> None:
    layer = built(make_layer(UNITS, return_sequences=True, **variant))
    cell = type(layer.cell).from_config(layer.cell.get_config())
    rnn = keras.layers.RNN(cell, return_sequences=True)
    x = sequences()
    rnn.build(x.shape)
    rnn.set_weights(layer.get_weights())
    # Equal to rounding: the layer may take the fused recurrence.
    np.testing.assert_allclose(
        to_numpy(rnn(x)), to_numpy(layer(x)), rtol=0, atol=TOLERANCE["float32"]
    )


@each_cell
def test_recurrent_matrix_is_the_map_of_the_state(
    make_cell: Callable[..., Any],
) -> None:
    cell = make_cell(UNITS, None, use_bias=False)
    cell.build((BATCH, FEATURES))
    # φ = identity, x = 0 and the unit vectors as states: the rows of R.
    x, units = np.zeros((UNITS, FEATURES)), np.eye(UNITS)
    rows, _ = cell(x.astype("float32"), [units.astype("float32")])
    R = to_numpy(cell.recurrent_matrix())
    np.testing.assert_allclose(to_numpy(rows), R, rtol=0, atol=1e-6)  # a few roundings
    np.testing.assert_array_equal(R, to_numpy(cell.recurrent_kernel))
    assert np.max(np.abs(R - R.T)) > 0.1, "R is told from its transpose"
    assert (cell.field, cell.width) == ("real", UNITS)


@each_layer
def test_layer_has_its_cells_matrix(make_layer: Callable[..., Any]) -> None:
    layer = built(make_layer(UNITS))
    np.testing.assert_array_equal(
        to_numpy(layer.recurrent_matrix()), to_numpy(layer.cell.recurrent_kernel)
    )
