"""Random recurrences in NumPy, and the loop that is their oracle."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st

from keras_urnn.equivalence.ranges.recurrence import Recurrence

Array = npt.NDArray[Any]

FEATURES = 3
BOUND = 2.0
seeds = st.integers(0, 2**32 - 1)
sizes = st.integers(1, 16)
norms = st.sampled_from([0.0, 0.1, 0.9, 0.999])

# Every activation that can be converted, in NumPy.
CONVERTED: dict[str, Callable[[Array], Array]] = {
    "relu": lambda z: np.maximum(z, 0),
    "relu6": lambda z: np.clip(z, 0, 6),
    "hard_sigmoid": lambda z: np.clip(z + 3, 0, 6) / 6,
    "hard_tanh": lambda z: np.clip(z, -1, 1),
    "sparse_sigmoid": lambda z: np.clip(z + 1, 0, 2) / 2,
    "sparse_plus": lambda z: np.where(z < 1, np.maximum(z + 1, 0) ** 2 / 4, z),
    "hard_silu": lambda z: z * (np.clip(z + 3, 0, 6) / 6),
}
# The same, and ReLU layers by their arguments: (max_value, negative_slope, threshold).
RELU_LAYERS = [(2.0, 0.0, 0.0), (None, 0.0, 0.5), (1.5, 0.25, 0.0), (0.3, 0.5, 0.25)]
BOUNDED = ("relu6", "hard_sigmoid", "hard_tanh", "sparse_sigmoid")
activations = st.sampled_from(list(CONVERTED))
learns = st.booleans()
centring = st.booleans()


def relu_layer(
    max_value: float | None, slope: float, threshold: float
) -> Callable[[Array], Array]:
    """`keras.layers.ReLU` in NumPy."""

    def activate(z: Array) -> Array:
        top = np.inf if max_value is None else max_value
        kept = np.where(z > threshold, np.minimum(z, z.dtype.type(top)), 0)
        return kept - z.dtype.type(slope) * np.maximum(z.dtype.type(threshold) - z, 0)

    return activate


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
    n: int,
    norm: float,
    seed: int,
    dtype: str = "float64",
    scale: float = 1.0,
    activation: str = "relu",
    learned: bool = True,
    centred: bool = False,
) -> Recurrence:
    """Return a network with biases and a partly negative initial state.

    The centre of its step where it isn't learned: zero, or else random.
    """
    generator = np.random.default_rng(seed + 1)

    def stored(values: Array) -> Array:
        return values.astype(dtype).astype("float64")

    kernel, bias, start, centre = (
        stored(scale * generator.normal(size=shape))
        for shape in ((FEATURES, n), n, n, n)
    )
    return Recurrence(
        kernel=kernel,
        recurrent_matrix=stored(contraction(n, norm, seed)),
        bias=bias,
        initial_state=start if learned else centred * centre,
        dtype=dtype,
        stored_dtype=dtype,
        activation=keras.activations.get(activation),
        resting_state=centre if centred else None,
    )


def states(network: Any, x: Array, activation: str = "relu") -> Array:
    """Loop over the steps: the states for inputs of shape (batch, steps, features).

    Takes what has a kernel, a recurrent matrix, a bias, an initial state and a resting
    state, which may be `None`; computes in the dtype of `x`.
    """
    activate = CONVERTED[activation]
    kernel = network.kernel.astype(x.dtype)
    matrix = network.recurrent_matrix.astype(x.dtype)
    bias = network.bias.astype(x.dtype)
    start = network.initial_state.astype(x.dtype)
    rest = network.resting_state
    centre = np.zeros(len(start)) if rest is None else rest
    h = np.broadcast_to(start, (len(x), len(start)))
    found = []
    for t in range(x.shape[1]):
        h = activate((h - centre.astype(x.dtype)) @ matrix + (x[:, t] @ kernel + bias))
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


def difference(expected: Any, found: Any) -> float:
    scale = np.abs(expected).max() or 1.0  # a unit that is never on gives only zeros
    return float(np.abs(expected - found).max() / scale)
