"""The diagnostics against matrices whose answer is known."""

import math

import keras
import numpy as np
import pytest

import keras_urnn as ku
from keras_urnn.diagnostics import spectral_norm, unitarity_error


@pytest.mark.parametrize("convert", [np.asarray, keras.ops.convert_to_tensor])
def test_known_matrices(convert):
    rotation = [[0.6, -0.8], [0.8, 0.6]]
    assert unitarity_error(convert(np.asarray(rotation))) < 1e-7
    assert unitarity_error(convert(np.diag([1.0, 0.5]))) == 0.75
    assert spectral_norm(convert(np.diag([-3.0, 0.5]))) == 3.0


def test_tall_and_wide_matrices_are_measured_on_their_short_side():
    tall = np.linalg.qr(np.random.default_rng(0).normal(size=(5, 3)))[0]
    assert unitarity_error(tall) < 1e-14
    assert unitarity_error(tall.T) < 1e-14


def test_a_batch_gives_its_worst():
    batch = np.stack([np.eye(2), np.diag([2.0, 1.0])])
    assert unitarity_error(batch) == 3.0
    assert spectral_norm(batch) == 2.0


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_what_is_not_finite_gives_nan(bad):
    matrix = np.array([[1.0, bad], [0.0, 1.0]])
    assert math.isnan(unitarity_error(matrix))
    assert math.isnan(spectral_norm(matrix))


def test_takes_a_cell_and_a_layer():
    layer = ku.ContractiveRNN(3, max_norm=0.5)
    layer.build((None, None, 2))
    assert spectral_norm(layer) == spectral_norm(layer.cell)
    assert spectral_norm(layer) == pytest.approx(0.5, rel=1e-6)


def test_takes_keras_rnn_over_a_cell_and_refuses_other_layers():
    rnn = keras.layers.RNN(ku.UnitaryRNNCell(3))
    rnn.build((None, None, 2))
    assert unitarity_error(rnn) <= 1e-6
    with pytest.raises(TypeError, match=r"`target` must be a matrix, or a layer"):
        spectral_norm(keras.layers.Dense(3))


def test_refuses_a_vector_and_an_unbuilt_layer():
    with pytest.raises(ValueError, match=r"`target` must be a matrix"):
        unitarity_error(np.ones(3))
    with pytest.raises(ValueError, match="must be built"):
        spectral_norm(ku.UnitaryRNN(3))


@pytest.mark.parametrize("convert", [np.asarray, keras.ops.convert_to_tensor])
def test_refuses_complex_matrices(convert):
    matrix = convert(np.eye(2, dtype="complex64"))
    for diagnostic in (unitarity_error, spectral_norm):
        with pytest.raises(TypeError, match="`target` must be real"):
            diagnostic(matrix)
