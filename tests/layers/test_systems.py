"""Each system of the literature is what its paper says, in plain float64 NumPy."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import scipy.linalg

import keras_urnn as ku
from keras_urnn.parametrizations import Cayley, Exponential, Givens, Householder
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


def ornn(weights: Weights) -> Array:
    product = np.eye(UNITS)
    for v in np.tril(weights["recurrent_vectors"]).T:
        product = product @ (np.eye(UNITS) - 2.0 * np.outer(v, v) / (v @ v))
    return product @ np.diag(weights["recurrent_signs"])


SYSTEMS: dict[str, tuple[Callable[[], Any], Callable[[Weights], Array]]] = {
    "scoRNN": (lambda: Cayley(negative_ones=2), scornn),
    "expRNN": (Exponential, exprnn),
    "dtriv": (lambda: Exponential(rebase_every=3), dtriv),
    "oRNN": (Householder, ornn),
    "CWY, 3 reflections": (lambda: Householder(3), ornn),
    "CWY, 1 reflection": (lambda: Householder(1), ornn),
}


def outputs(weights: Weights, R: Array, x: Array) -> Array:
    """`h_t = relu(h_{t-1} R + x_t K + b)` for all steps."""
    h, states = np.zeros((len(x), UNITS)), []
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


def model_of(parametrization: Any, activation: str = "relu") -> tuple[Any, Any]:
    """A model of one layer whose outputs are all states, and the layer."""
    layer = ku.UnitaryRNN(
        UNITS,
        activation,
        parametrization=parametrization,
        recurrent_initializer=keras.initializers.Orthogonal(seed=2),
        bias_initializer=keras.initializers.RandomNormal(seed=3),
        return_sequences=True,
        return_state=True,
    )
    inputs = keras.Input((STEPS, FEATURES))
    return keras.Model(inputs, layer(inputs)[0]), layer


def data() -> tuple[Array, Array]:
    """Inputs and targets, in float32, as Keras casts them."""
    x, y = normal(BATCH, STEPS, FEATURES), normal(BATCH, STEPS, UNITS, seed=1)
    return x.astype("float32"), y.astype("float32")


def weights_of(layer: Any) -> Weights:
    return {weight.name: to_numpy(weight) for weight in layer.weights}


@pytest.mark.parametrize("name", SYSTEMS)
def test_outputs_final_state_and_gradients_are_those_of_the_paper(name: str) -> None:
    make, matrix = SYSTEMS[name]
    x, y = data()
    with precision("float64"):
        model, layer = model_of(make())
        for seed, weight in enumerate(layer.trainable_weights):
            weight.assign(0.7 * normal(*weight.shape, seed=seed))
        weights = weights_of(layer)
        trained = [weight.name for weight in layer.trainable_weights]
        found, state = map(to_numpy, layer(x))
        computed = gradients.of_error(model, x, y)

    def loss(weights: Weights) -> float:
        error = outputs(weights, matrix(weights), x) - y
        return float(np.mean(error**2))

    expected = outputs(weights, matrix(weights), x)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-13)
    np.testing.assert_allclose(state, expected[:, -1], rtol=0, atol=1e-13)
    for weight, gradient in zip(trained, computed, strict=True):
        # Of central differences: step² and eps / step.
        by_differences = differences(loss, weights, weight)
        np.testing.assert_allclose(gradient, by_differences, rtol=0, atol=1e-8)
        assert np.max(np.abs(gradient)) > 1e-4


def as_complex(parts: Array) -> Array:
    re, im = np.split(parts, 2, axis=-1)
    return re + 1j * im


def eunn(weights: Weights, pairs: list[list[tuple[int, int]]]) -> Array:
    """`G_1 G_2 ... D`: the paper's rotations by `-θ` and `φ`, as they act on rows."""
    R, k = np.eye(UNITS, dtype="complex128"), 0
    for layer in pairs:
        for a, b in layer:
            theta, phi = weights["recurrent_angles"][:, k]
            cos, sin, turn = np.cos(-theta), np.sin(-theta), np.exp(1j * phi)
            G = np.eye(UNITS, dtype="complex128")
            G[a, a], G[a, b] = turn * cos, -turn * sin
            G[b, a], G[b, b] = sin, cos
            R, k = R @ G, k + 1
    return R @ np.diag(np.exp(1j * weights["recurrent_phases"]))


def complex_outputs(weights: Weights, R: Array, x: Array) -> Array:
    """`h_t = modReLU(h_{t-1} R + x_t K + b)` for all steps, as `[Re | Im]`."""
    K, b = as_complex(weights["kernel"]), as_complex(weights["bias"])
    h, states = np.zeros((len(x), UNITS)), []
    for t in range(x.shape[1]):
        z = h @ R + x[:, t] @ K + b
        size = np.abs(z)
        h = z / size * np.maximum(size + weights["modrelu"], 0.0)
        states.append(np.concatenate([h.real, h.imag], axis=-1))
    return np.stack(states, axis=1)


EUNN: dict[str, tuple[dict[str, Any], list[list[tuple[int, int]]]]] = {
    "tunable": ({"capacity": 2}, [[(0, 1), (2, 3)], [(1, 2), (3, 4)]]),
    "fft": ({"layout": "fft"}, [[(0, 4)], [(0, 2), (1, 3)], [(0, 1), (2, 3)]]),
}


@pytest.mark.parametrize("name", EUNN)
def test_the_eunn_is_that_of_the_paper(name: str) -> None:
    options, pairs = EUNN[name]
    x, y = data()[0], normal(BATCH, STEPS, 2 * UNITS, seed=1).astype("float32")
    with precision("float64"):
        given = Givens(field="complex", **options)
        model, layer = model_of(given, activation="modrelu")
        trained = layer.trainable_weights
        for seed, weight in enumerate(trained):
            weight.assign(0.7 * normal(*weight.shape, seed=seed))
        # modReLU's bias, below 0, so that it switches states off.
        trained[-1].assign(-np.abs(to_numpy(trained[-1])))
        names = [weight.path.split("/")[-1] for weight in trained]
        names[-1] = "modrelu"
        weights = dict(zip(names, map(to_numpy, trained), strict=True))
        found, state = map(to_numpy, layer(x))
        computed = gradients.of_error(model, x, y)

    def loss(weights: Weights) -> float:
        error = complex_outputs(weights, eunn(weights, pairs), x) - y
        return float(np.mean(error**2))

    expected = complex_outputs(weights, eunn(weights, pairs), x)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-13)
    np.testing.assert_allclose(state, expected[:, -1], rtol=0, atol=1e-13)
    assert np.any(expected == 0.0), "the premise: some states are switched off"
    for weight, gradient in zip(names, computed, strict=True):
        # Of central differences: step² and eps / step.
        by_differences = differences(loss, weights, weight)
        np.testing.assert_allclose(gradient, by_differences, rtol=0, atol=1e-8)
        assert np.max(np.abs(gradient)) > 1e-4


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
