"""Norms of states and gradients over the steps, against derivatives by hand."""

import keras
import numpy as np
import pytest

import keras_urnn as ku
from keras_urnn.diagnostics import gradient_norm_profile, state_norm_profile
from tests.helpers import matrix_of, normal, to_numpy

STEPS = 6
X = normal(3, STEPS, 2, seed=1).astype("float32")
LAYERS = {
    "unitary": lambda: ku.UnitaryRNN(4, "tanh"),
    "contractive": lambda: ku.ContractiveRNN(4, "tanh", output_units=2),
    "simple": lambda: keras.layers.SimpleRNN(4),
    "lstm": lambda: keras.layers.LSTM(4),
    "computed": lambda: keras.layers.RNN(
        ku.UnitaryRNNCell(4, "tanh", parametrization="cayley")
    ),
}


def built(name):
    layer = LAYERS[name]()
    layer.build((None, None, 2))
    return layer


@pytest.mark.parametrize("name", LAYERS)
def test_state_norms_are_those_of_the_outputs(name):
    layer = built(name)
    outputs = keras.layers.RNN(layer.cell, return_sequences=True)(X)
    norms = np.linalg.norm(to_numpy(outputs), axis=-1)
    np.testing.assert_allclose(
        state_norm_profile(layer, X), np.sqrt(np.mean(norms**2, axis=0)), rtol=1e-5
    )


def test_a_linear_unitary_recurrence_keeps_the_gradient():
    layer = ku.UnitaryRNN(4, None)
    layer.build((None, None, 2))
    np.testing.assert_allclose(gradient_norm_profile(layer, X), 1.0, rtol=1e-5)


def test_gradient_norms_are_those_of_products_of_jacobians():
    layer = built("simple")
    outputs = to_numpy(keras.layers.RNN(layer.cell, return_sequences=True)(X))
    v = np.random.default_rng(7).standard_normal((3, 4))
    g = v / np.linalg.norm(v, axis=1, keepdims=True)
    norms = []
    for t in reversed(range(STEPS)):
        norms.append(np.sqrt(np.mean(np.sum(g**2, axis=1))))
        g = ((1.0 - outputs[:, t] ** 2) * g) @ matrix_of(layer.cell).T
    np.testing.assert_allclose(
        gradient_norm_profile(layer, X, seed=7), norms[::-1], rtol=1e-4
    )


@pytest.mark.parametrize("name", LAYERS)
def test_the_gradient_of_the_last_output_for_itself_has_norm_1(name):
    profile = gradient_norm_profile(built(name), X)
    assert profile.shape == (STEPS,)
    assert profile[-1] == pytest.approx(1.0, rel=1e-6)
    assert np.all(profile > 0.0)


def test_bad_arguments_are_refused():
    layer = built("unitary")
    stack = keras.layers.RNN([ku.UnitaryRNNCell(2), ku.UnitaryRNNCell(2)])
    for profile in (state_norm_profile, gradient_norm_profile):
        for other in (layer.cell, stack, keras.layers.Dense(2), 3):
            with pytest.raises(TypeError, match="`layer` must be a recurrent layer of"):
                profile(other, X)
        with pytest.raises(ValueError, match=r"`layer` must be built.*Call it on data"):
            profile(ku.UnitaryRNN(2), X)
        with pytest.raises(ValueError, match=r"`x\.shape` must be \(batch, steps, fea"):
            profile(layer, X[0])
        with pytest.raises(TypeError, match="`x` must be sequences of real numbers"):
            profile(layer, "abc")
    with pytest.raises(ValueError, match="`seed` must be an integer in"):
        gradient_norm_profile(layer, X, seed=-1)
