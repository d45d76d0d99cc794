"""The synthetic task of Emami et al. (2019): a slow system seen through noise.

    h_t = relu(W h_{t-1} + F x_t + b),    y_t = C h_t + noise,    h_0 = 0

with `W = I - ε AᵀA / ‖A‖²`, a contraction that forgets in about `1/ε` steps. `A`, `F`
and `C` are drawn from the standard normal distribution, as the inputs are, and `b` is
such that each hidden unit is on, above zero, for a given share of the time.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from files import RunError
from numpy.typing import NDArray
from scipy.optimize import root

Array = NDArray[np.float64]

CALIBRATION = 200  # sequences that the biases are adjusted on
ON_TOLERANCE = 0.005


class Recipe(NamedTuple):
    """What a system and its data are drawn by; the defaults are the paper's."""

    states: int = 4
    inputs: int = 2
    outputs: int = 2
    epsilon: float = 0.01
    on: float = 0.6
    length: int = 1000
    sequences: int = 1000


class System(NamedTuple):
    """The weights, as the formula names them."""

    recurrent: Array  # W, (states, states)
    inputs: Array  # F, (states, inputs)
    bias: Array  # b, (states,)
    outputs: Array  # C, (outputs, states)


class Data(NamedTuple):
    """Sequences, and how the system that gave them behaved."""

    x: Array  # (sequences, length, inputs)
    y: Array  # (sequences, length, outputs), with noise
    on: Array  # share of the time that each hidden unit is on, (states,)
    snr: float  # power of the outputs by that of the noise, in dB, as measured


def draw_system(recipe: Recipe, rng: np.random.Generator) -> System:
    """Draw a system and adjust its biases.

    Raises:
        RunError: when no bias was found that turns each unit on for `recipe.on`.
    """
    a = rng.standard_normal((recipe.states, recipe.states))
    shrink = recipe.epsilon * a.T @ a / np.linalg.norm(a, 2) ** 2
    system = System(
        np.eye(recipe.states) - shrink,
        rng.standard_normal((recipe.states, recipe.inputs)),
        np.zeros(recipe.states),
        rng.standard_normal((recipe.outputs, recipe.states)),
    )
    x = rng.standard_normal((CALIBRATION, recipe.length, recipe.inputs))
    return system._replace(bias=_adjusted_bias(system, x, recipe.on))


def _adjusted_bias(system: System, x: Array, on: float) -> Array:
    # In units of what an input adds to a state, so that one scale fits each of them.
    scale = np.linalg.norm(system.inputs, axis=1)

    def excess(relative: Array) -> Array:
        tried = system._replace(bias=relative * scale)
        return share_on(hidden_states(tried, x)) - on

    # The shares are steps of a finite sample: differences over 0.01 see past them.
    found = root(excess, np.full(len(scale), -0.3), options={"eps": 1e-2})
    if np.abs(found.fun).max() > ON_TOLERANCE:
        raise RunError(
            f"no bias turns each unit on for {on:.0%} of the time; the closest are on "
            f"for {found.fun + on} of it. Choose another --seed, or an --on closer to "
            f"{Recipe().on}."
        )
    return np.asarray(found.x * scale)


def hidden_states(system: System, x: Array) -> Array:
    """Return the states of all steps: (sequences, length, states)."""
    driven = x @ system.inputs.T + system.bias
    states = np.empty_like(driven)
    h = np.zeros((len(x), len(system.bias)))
    for t in range(x.shape[1]):
        h = np.maximum(h @ system.recurrent.T + driven[:, t], 0.0)
        states[:, t] = h
    return states


def share_on(states: Array) -> Array:
    """Return the share of sequences and steps at which each unit is above zero."""
    return np.asarray(np.mean(states > 0.0, axis=(0, 1)))


def draw_data(recipe: Recipe, snr: float, seed: int, realization: int) -> Data:
    """Draw realization number `realization` of the system, and its data.

    Realizations of one seed are independent. The same one at another signal-to-noise
    ratio is the same system with the same inputs, and noise of another size.

    Args:
        recipe: what is drawn.
        snr: signal-to-noise ratio, in dB.
        seed: of all realizations.
        realization: index from 0.
    """
    seeds = np.random.SeedSequence([seed, realization]).spawn(3)
    of_system, of_inputs, of_noise = map(np.random.default_rng, seeds)
    system = draw_system(recipe, of_system)
    x = of_inputs.standard_normal((recipe.sequences, recipe.length, recipe.inputs))
    states = hidden_states(system, x)
    clean = states @ system.outputs.T
    power = np.mean(clean**2)
    scale = math.sqrt(power * 10.0 ** (-snr / 10.0))
    noise = scale * of_noise.standard_normal(clean.shape)
    measured = 10.0 * math.log10(power / np.mean(noise**2))
    return Data(x, clean + noise, share_on(states), measured)


def ceiling(snr: float) -> float:
    """Return the R² about zero of who knows the outputs but not the noise."""
    return 1.0 / (1.0 + 10.0 ** (-snr / 10.0))


def r_squared(y: Array, predicted: Array) -> dict[str, Any]:
    """Return R² about zero, as the poster has it, and about the mean of each output.

    `1 - Σ (y - ŷ)² / Σ y²` and `1 - Σ (y - ŷ)² / Σ (y - ȳ)²`, sums over everything.
    """
    error = np.sum((y - predicted) ** 2)
    centered = y - np.mean(y, axis=(0, 1))
    return {
        "r2_about_zero": float(1.0 - error / np.sum(y**2)),
        "r2_centered": float(1.0 - error / np.sum(centered**2)),
    }
