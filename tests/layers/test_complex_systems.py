"""The systems of complex states are what their papers say, in float64 NumPy."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from keras_urnn.parametrizations import Cayley, Fourier, Givens, Projection
from tests.helpers import UNITS, Array
from tests.layers.test_systems import Weights, assert_equal, cayley, model_of

SEED = 3  # of the uRNN's permutation


def complex_of(parts: Array) -> Array:
    re, im = np.split(parts, 2, axis=-1)
    return re + 1j * im


def reflection(v: Array) -> Array:
    return np.eye(UNITS) - 2.0 * np.outer(v, v.conj()) / np.linalg.norm(v) ** 2


def urnn(weights: Weights) -> Array:
    """`W = D₃ R₂ F⁻¹ D₂ Π R₁ F D₁` acts on columns in the paper."""
    D1, D2, D3 = (np.diag(np.exp(1j * row)) for row in weights["recurrent_phases"])
    R1, R2 = map(reflection, complex_of(weights["recurrent_vectors"]))
    k = np.arange(UNITS)
    F = np.exp(-2j * np.pi * np.outer(k, k) / UNITS) / np.sqrt(UNITS)
    P = np.eye(UNITS)[np.random.RandomState(SEED).permutation(UNITS)]
    W = D3 @ R2 @ np.linalg.inv(F) @ D2 @ P @ R1 @ F @ D1
    return W.T


def full_capacity(weights: Weights) -> Array:
    return complex_of(weights["recurrent_kernel"])


def scurnn(weights: Weights) -> Array:
    raw = complex_of(weights["recurrent_skew"])
    lower = np.tril(raw, -1) + 1j * np.diag(np.diag(raw).imag)
    A = lower - np.tril(raw, -1).conj().T
    return cayley(A) @ np.diag(np.exp(1j * weights["recurrent_phases"]))


def eunn(pairs: list[tuple[int, int]]) -> Callable[[Weights], Array]:
    """`G_1 G_2 ... D`: the paper's rotations by `-θ` and `φ`, as they act on rows."""

    def matrix(weights: Weights) -> Array:
        R = np.eye(UNITS, dtype="complex128")
        for k, (a, b) in enumerate(pairs):
            theta, phi = weights["recurrent_angles"][:, k]
            cos, sin, turn = np.cos(-theta), np.sin(-theta), np.exp(1j * phi)
            G = np.eye(UNITS, dtype="complex128")
            G[a, a], G[a, b] = turn * cos, -turn * sin
            G[b, a], G[b, b] = sin, cos
            R = R @ G
        return R @ np.diag(np.exp(1j * weights["recurrent_phases"]))

    return matrix


SYSTEMS: dict[str, tuple[Callable[[], Any], Callable[[Weights], Array]]] = {
    "uRNN": (lambda: Fourier(seed=SEED), urnn),
    "full-capacity uRNN": (lambda: Projection(field="complex"), full_capacity),
    "scuRNN": (lambda: Cayley(field="complex"), scurnn),
    "EUNN, tunable": (
        lambda: Givens(capacity=2, field="complex"),
        eunn([(0, 1), (2, 3), (1, 2), (3, 4)]),
    ),
    "EUNN, FFT": (
        lambda: Givens(layout="fft", field="complex"),
        eunn([(0, 4), (0, 2), (1, 3), (0, 1), (2, 3)]),
    ),
}


def modrelu(z: Array, bias: Array) -> Array:
    return z / np.abs(z) * np.maximum(np.abs(z) + bias, 0.0)


def states(weights: Weights, R: Array, x: Array) -> Array:
    """`h_t = modReLU(h_{t-1} R + x_t V)` from a trained `h_0`, as `[Re | Im]`."""
    V, found = complex_of(weights["kernel"]), []
    h = np.broadcast_to(complex_of(weights["initial_state"]), (len(x), UNITS))
    for t in range(x.shape[1]):
        h = modrelu(h @ R + x[:, t] @ V, weights["bias"])
        found.append(np.concatenate([h.real, h.imag], axis=-1))
    return np.stack(found, axis=1)


@pytest.mark.parametrize("name", SYSTEMS)
def test_outputs_final_state_and_gradients_are_those_of_the_paper(name: str) -> None:
    make, matrix = SYSTEMS[name]
    # The only bias of these systems is that of modReLU.
    options = {
        "activation": "modrelu",
        "use_bias": False,
        "learn_initial_state": True,
    }
    assert_equal(
        lambda: model_of(make(), **options),
        lambda weights, x: states(weights, matrix(weights), x),
    )
