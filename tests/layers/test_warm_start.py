"""`from_simple_rnn`: the weights of a `SimpleRNN`, the matrix projected at once."""

import re
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from scipy.linalg import polar

import keras_urnn as ku
from tests.helpers import (
    BATCH,
    FEATURES,
    TOLERANCE,
    UNITS,
    Array,
    assert_on_its_set,
    each_layer,
    nearest_on_set,
    normal,
    sequences,
    to_numpy,
)


def simple_rnn(matrix: Array, **arguments: Any) -> Any:
    """Return a built `SimpleRNN` with this recurrent kernel, nothing else zero."""
    layer = keras.layers.SimpleRNN(UNITS, **arguments)
    layer.build((BATCH, 7, FEATURES))
    layer.cell.kernel.assign(normal(FEATURES, UNITS, seed=1))
    layer.cell.recurrent_kernel.assign(matrix)
    if layer.cell.bias is not None:
        layer.cell.bias.assign(normal(UNITS, seed=2))
    return layer


FAR = normal(UNITS, UNITS, seed=3)
NEAR = {
    ku.UnitaryRNN: np.eye(UNITS)[::-1],
    ku.ContractiveRNN: 0.5 * np.eye(UNITS)[::-1],
}


@each_layer
@pytest.mark.parametrize("use_bias", [True, False])
def test_takes_weights_and_projects_the_matrix(make_layer: Any, use_bias: bool) -> None:
    original = simple_rnn(FAR, activation="tanh", use_bias=use_bias)
    before = original.get_weights()
    with pytest.warns(UserWarning, match="moved"):
        layer = make_layer.from_simple_rnn(original)
    assert type(layer) is make_layer
    assert layer.built
    assert_on_its_set(layer.cell)
    kernel, R, *bias = layer.get_weights()
    np.testing.assert_array_equal(kernel, before[0])
    assert len(bias) == use_bias
    for ours, theirs in zip(bias, before[2:], strict=True):
        np.testing.assert_array_equal(ours, theirs)
    expected = nearest_on_set(layer.cell, before[1])
    np.testing.assert_allclose(R, expected, rtol=0, atol=1e-6)  # as the projection
    for now, then in zip(original.get_weights(), before, strict=True):
        np.testing.assert_array_equal(now, then)


def test_unitary_start_is_scipys_polar_factor() -> None:
    with pytest.warns(UserWarning, match="moved"):
        layer = ku.UnitaryRNN.from_simple_rnn(simple_rnn(FAR))
    expected, _ = polar(FAR)
    np.testing.assert_allclose(
        to_numpy(layer.recurrent_matrix()), expected, rtol=0, atol=1e-6
    )


@each_layer
def test_warns_by_how_much(make_layer: Any) -> None:
    with pytest.warns(UserWarning, match="nearest matrix on the set") as caught:
        layer = make_layer.from_simple_rnn(simple_rnn(FAR, name="warm"))
    moved = np.linalg.norm(to_numpy(layer.recurrent_matrix()) - FAR)
    (warning,) = [one for one in caught if one.category is UserWarning]
    message = str(warning.message)
    numbers = re.fullmatch(r"warm: .* by (\S+) in the .* own is (\S+)\).*", message)
    assert numbers is not None
    assert float(numbers[1]) == pytest.approx(moved, rel=0.01)  # printed to 3 digits
    assert float(numbers[2]) == pytest.approx(np.linalg.norm(FAR), rel=0.01)
    assert warning.filename == __file__


@each_layer
def test_is_silent_and_exact_on_the_set(make_layer: Any) -> None:
    original = simple_rnn(NEAR[make_layer], activation="tanh", return_sequences=True)
    layer = make_layer.from_simple_rnn(original)  # a warning would be an error
    np.testing.assert_allclose(
        to_numpy(layer(sequences())),
        to_numpy(original(sequences())),
        rtol=0,
        atol=TOLERANCE["float32"],
    )
    for ours, theirs in zip(layer.get_weights(), original.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@each_layer
def test_takes_over_the_arguments(make_layer: Any) -> None:
    arguments = {
        "activation": "tanh",
        "dropout": 0.1,
        "return_sequences": True,
        "go_backwards": True,
        "kernel_regularizer": keras.regularizers.L2(0.1),
    }
    original = simple_rnn(
        NEAR[make_layer], **arguments, seed=5, recurrent_constraint="non_neg"
    )
    config, expected = (
        layer.get_config() for layer in (make_layer.from_simple_rnn(original), original)
    )
    assert config["seed"] == 5  # which Keras leaves out of the original's config
    for name in arguments:
        assert config[name] == expected[name]
    assert config["recurrent_constraint"] is None
    changed = make_layer.from_simple_rnn(original, return_sequences=False)
    assert not changed.return_sequences


def test_arguments_choose_the_set() -> None:
    with pytest.warns(UserWarning, match="moved"):
        layer = ku.ContractiveRNN.from_simple_rnn(simple_rnn(FAR), max_norm=0.5)
    assert layer.cell.max_norm == 0.5
    assert_on_its_set(layer.cell)


@each_layer
def test_stateful(make_layer: Any) -> None:
    original = simple_rnn(NEAR[make_layer], stateful=True)
    layer = make_layer.from_simple_rnn(original)
    x = sequences()
    for _ in range(2):
        expected = to_numpy(original(x))
        np.testing.assert_allclose(
            to_numpy(layer(x)), expected, rtol=0, atol=TOLERANCE["float32"]
        )


@each_layer
@pytest.mark.parametrize(
    "make_other", [keras.layers.LSTM, keras.layers.SimpleRNNCell, keras.layers.Dense]
)
def test_refuses_another_layer(make_layer: Any, make_other: Callable[..., Any]) -> None:
    other = make_other(UNITS)
    message = r"`layer` must be a `keras.layers.SimpleRNN`\. Received: layer=<"
    with pytest.raises(TypeError, match=message):
        make_layer.from_simple_rnn(other)


@each_layer
def test_refuses_an_unbuilt_layer(make_layer: Any) -> None:
    original = keras.layers.SimpleRNN(UNITS, name="mine")
    with pytest.raises(
        ValueError, match=r"must be built\. Received: 'mine'.*Call it on"
    ):
        make_layer.from_simple_rnn(original)


@each_layer
def test_a_zero_kernel_is_moved_too(make_layer: Any) -> None:
    original = simple_rnn(np.zeros_like(FAR))
    if make_layer is ku.ContractiveRNN:  # zero is contractive
        make_layer.from_simple_rnn(original)
        return
    with pytest.warns(UserWarning, match=r"moved by .* \(its own is 0\)"):
        make_layer.from_simple_rnn(original)


@each_layer
def test_refuses_to_drop_a_bias_and_weights_that_are_not_finite(
    make_layer: Any,
) -> None:
    with pytest.raises(ValueError, match=r"`use_bias` must be True, as in `layer`"):
        make_layer.from_simple_rnn(simple_rnn(FAR), use_bias=False)
    with pytest.raises(ValueError, match=r"`layer` must be of finite weights"):
        make_layer.from_simple_rnn(simple_rnn(np.nan * FAR))
