"""Random ReLU recurrences in NumPy, and the loop that is their oracle."""

from typing import Any

import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st

from keras_urnn.equivalence.reachable import Recurrence

Array = npt.NDArray[Any]

FEATURES = 3
BOUND = 2.0
seeds = st.integers(0, 2**32 - 1)
sizes = st.integers(1, 16)
norms = st.sampled_from([0.0, 0.1, 0.9, 0.999])


def contraction(n: int, norm: float, seed: int) -> Array:
    """Return a matrix of this norm; a third of the seeds give a lower rank."""
    generator = np.random.default_rng(seed)
    q, _ = np.linalg.qr(generator.normal(size=(n, n)))
    p, _ = np.linalg.qr(generator.normal(size=(n, n)))
    sigma = generator.uniform(0.0, norm, n)
    if seed % 3 == 0:
        sigma[n // 2 :] = 0.0
    sigma[0] = norm
    return (q * sigma) @ p.T


def recurrence(
    n: int, norm: float, seed: int, dtype: str = "float64", scale: float = 1.0
) -> Recurrence:
    """Return a network with biases and a partly negative initial state."""
    generator = np.random.default_rng(seed + 1)

    def stored(values: Array) -> Array:
        return values.astype(dtype).astype("float64")

    return Recurrence(
        kernel=stored(scale * generator.normal(size=(FEATURES, n))),
        recurrent_matrix=stored(contraction(n, norm, seed)),
        bias=stored(scale * generator.normal(size=n)),
        initial_state=stored(scale * generator.normal(size=n)),
        dtype=dtype,
        stored_dtype=dtype,
    )


def states(network: Any, x: Array) -> Array:
    """Loop over the steps: the states for inputs of shape (batch, steps, features).

    Takes what has a kernel, a recurrent matrix, a bias and an initial state; computes
    in the dtype of `x`.
    """
    kernel = network.kernel.astype(x.dtype)
    matrix = network.recurrent_matrix.astype(x.dtype)
    bias = network.bias.astype(x.dtype)
    start = network.initial_state.astype(x.dtype)
    h = np.broadcast_to(start, (len(x), len(start)))
    found = []
    for t in range(x.shape[1]):
        h = np.maximum(h @ matrix + (x[:, t] @ kernel + bias), 0.0)
        found.append(h)
    return np.stack(found, axis=1)


def inputs(network: Recurrence, steps: int, seed: int) -> Array:
    """Return random inputs, constant corners, and those that drive each unit hardest.

    All have `|x| <= BOUND`. The gain of the input `j` steps before the last on unit
    `i` of the linearised network is column `i` of `K Rʲ`.
    """
    generator = np.random.default_rng(seed)
    shape = (4, steps, FEATURES)
    corners = np.broadcast_to(generator.choice([-1.0, 1.0], (4, 1, FEATURES)), shape)
    gains, reach = [], network.kernel
    for _ in range(steps):
        gains.append(reach.T)
        reach = reach @ network.recurrent_matrix
    driven = np.sign(np.stack(gains[::-1], axis=1))
    drawn = generator.uniform(-1.0, 1.0, shape)
    return BOUND * np.concatenate([drawn, corners, driven, -driven])
