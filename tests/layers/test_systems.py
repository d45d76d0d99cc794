"""Each system of the literature is what its paper says, in plain float64 NumPy."""

from collections.abc import Callable
from functools import partial
from typing import Any

import keras
import numpy as np
import pytest
import scipy.linalg

import keras_urnn as ku
from keras_urnn.parametrizations import (
    BoundedSVD,
    Cayley,
    Exponential,
    Householder,
)
from tests import gradients
from tests.helpers import (
    BATCH,
    FEATURES,
    STEPS,
    UNITS,
    Array,
    normal,
    precision,
    to_numpy,
)

Weights = dict[str, Array]
States = Callable[[Weights, Array], Array]  # of all steps, from weights and inputs
MAX_NORM = 0.9  # of Spectral-RNN


def skew(raw: Array) -> Array:
    lower = np.tril(raw, k=-1)
    return lower - lower.T


def cayley(A: Array) -> Array:
    eye = np.eye(len(A))
    return np.linalg.inv(eye + A) @ (eye - A)


def scornn(weights: Weights) -> Array:
    return cayley(skew(weights["recurrent_skew"])) @ np.diag(weights["recurrent_signs"])


def exprnn(weights: Weights) -> Array:
    rotation = scipy.linalg.expm(skew(weights["recurrent_skew"]))
    return rotation @ np.diag(weights["recurrent_signs"])


def dtriv(weights: Weights) -> Array:
    A = skew(weights["recurrent_skew"]) - skew(weights["recurrent_offset"])
    return weights["recurrent_base"] @ scipy.linalg.expm(A)


def ornn(weights: Weights, part: str = "") -> Array:
    product = np.eye(UNITS)
    for v in np.tril(weights[f"{part}recurrent_vectors"]).T:
        product = product @ (np.eye(UNITS) - 2.0 * np.outer(v, v) / (v @ v))
    return product @ np.diag(weights[f"{part}recurrent_signs"])


def spectral_rnn(weights: Weights) -> Array:
    U, V = (ornn(weights, part) for part in ("left_", "right_"))
    sigmoid = 1.0 / (1.0 + np.exp(-weights["recurrent_singular"]))
    return U @ np.diag(MAX_NORM * sigmoid) @ V.T


SYSTEMS: dict[str, tuple[Callable[[], Any], Callable[[Weights], Array]]] = {
    "scoRNN": (lambda: Cayley(negative_ones=2), scornn),
    "expRNN": (Exponential, exprnn),
    "dtriv": (lambda: Exponential(rebase_every=3), dtriv),
    "oRNN": (Householder, ornn),
    "CWY, 3 reflections": (lambda: Householder(3), ornn),
    "CWY, 1 reflection": (lambda: Householder(1), ornn),
    "Spectral-RNN": (lambda: BoundedSVD(Householder(3), Householder(2)), spectral_rnn),
}


def outputs(weights: Weights, R: Array, x: Array) -> Array:
    """`h_t = relu(h_{t-1} R + x_t K + b)` for all steps."""
    h, states = np.zeros((len(x), len(R))), []
    for t in range(x.shape[1]):
        h = np.maximum(h @ R + x[:, t] @ weights["kernel"] + weights["bias"], 0.0)
        states.append(h)
    return np.stack(states, axis=1)


def differences(loss: Callable[[Weights], float], weights: Weights, name: str) -> Array:
    """The gradient of a loss by central differences, entry by entry."""
    step, gradient = 1e-6, np.zeros_like(weights[name])
    for index in np.ndindex(gradient.shape):
        moved = [weights[name].copy(), weights[name].copy()]
        moved[0][index] += step
        moved[1][index] -= step
        up, down = (loss({**weights, name: value}) for value in moved)
        gradient[index] = (up - down) / (2.0 * step)
    return gradient


def model_of(parametrization: Any, **options: Any) -> tuple[Any, Any]:
    """A model of one layer whose outputs are all states, and the layer."""
    is_unitary = "unitary" in parametrization.sets
    make = (
        ku.UnitaryRNN if is_unitary else partial(ku.ContractiveRNN, max_norm=MAX_NORM)
    )
    layer = make(
        UNITS,
        parametrization=parametrization,
        recurrent_initializer=keras.initializers.Orthogonal(seed=2),
        bias_initializer=keras.initializers.RandomNormal(seed=3),
        return_sequences=True,
        return_state=True,
        **options,
    )
    inputs = keras.Input((STEPS, FEATURES))
    return keras.Model(inputs, layer(inputs)[0]), layer


def data() -> tuple[Array, Array]:
    """Inputs and targets, in float32, as Keras casts them."""
    x, y = normal(BATCH, STEPS, FEATURES), normal(BATCH, STEPS, UNITS, seed=1)
    return x.astype("float32"), y.astype("float32")


def weights_of(layer: Any) -> Weights:
    return {weight.name: to_numpy(weight) for weight in layer.weights}


def assert_equal(make: Callable[[], tuple[Any, Any]], states: States) -> None:
    """Outputs, final state and all gradients of a model are those of an oracle."""
    x, _ = data()
    with precision("float64"):
        model, layer = make()
        y = normal(BATCH, STEPS, layer.cell.width, seed=1).astype("float32")
        for seed, weight in enumerate(layer.trainable_weights):
            value = 0.7 * normal(*weight.shape, seed=seed)
            weight.assign(weight.constraint(value) if weight.constraint else value)
        weights = weights_of(layer)
        trained = [weight.name for weight in layer.trainable_weights]
        found, state = map(to_numpy, layer(x))
        computed = gradients.of_error(model, x, y)

    def loss(weights: Weights) -> float:
        return float(np.mean((states(weights, x) - y) ** 2))

    expected = states(weights, x)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-13)
    np.testing.assert_allclose(state, expected[:, -1], rtol=0, atol=1e-13)
    for weight, gradient in zip(trained, computed, strict=True):
        # Of central differences: step² and eps / step.
        by_differences = differences(loss, weights, weight)
        np.testing.assert_allclose(gradient, by_differences, rtol=0, atol=1e-8)
        assert np.max(np.abs(gradient)) > 1e-4


@pytest.mark.parametrize("name", SYSTEMS)
def test_outputs_final_state_and_gradients_are_those_of_the_paper(name: str) -> None:
    make, matrix = SYSTEMS[name]
    assert_equal(
        lambda: model_of(make()),
        lambda weights, x: outputs(weights, matrix(weights), x),
    )


# The map around a base, and after how many steps the base moves: dtriv, and the
# multiplicative step of the full-capacity uRNN.
MOVING: dict[str, tuple[Any, Callable[[Array], Array], int]] = {
    "dtriv": (Exponential, scipy.linalg.expm, 2),
    "multiplicative": (Cayley, cayley, 1),
}


@pytest.mark.parametrize("name", MOVING)
def test_training_around_a_base_is_that_of_the_paper(name: str) -> None:
    make, f, every = MOVING[name]
    (x, y), rate = data(), 0.3

    def loss(weights: Weights) -> float:
        R = base @ f(skew(weights["recurrent_skew"]))
        return float(np.mean((outputs(weights, R, x) - y) ** 2))

    with precision("float64"):
        model, layer = model_of(make(rebase_every=every))
        model.compile(keras.optimizers.SGD(rate), "mse")
        weights, start = weights_of(layer), to_numpy(layer.recurrent_matrix())
        base = start
        for step in range(1, 6):
            model.train_on_batch(x, y)
            found = to_numpy(layer.recurrent_matrix())
            moves = {
                name: rate * differences(loss, weights, name)
                for name in ("kernel", "bias", "recurrent_skew")
            }
            weights |= {name: weights[name] - move for name, move in moves.items()}
            R = base @ f(skew(weights["recurrent_skew"]))
            # The differences are right to 1e-9, as SGD's rate is to float32.
            np.testing.assert_allclose(found, R, rtol=0, atol=1e-7)
            if step % every == 0:
                base, weights["recurrent_skew"] = R, np.zeros((UNITS, UNITS))
    assert np.max(np.abs(R - start)) > 0.03
