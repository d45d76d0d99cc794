"""Cells of given weights, their step in NumPy, and matrices of known structure."""

from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from tests.helpers import to_numpy

Array = npt.NDArray[Any]


def cell_of(
    recurrent_matrix: Array,
    kernel: Array | None = None,
    bias: Array | None = None,
    make: Any = keras.layers.SimpleRNNCell,
    activation: str | None = "relu",
    **kwargs: Any,
) -> Any:
    """Return a built cell; by default each state has an input of its own."""
    n = len(recurrent_matrix)
    kernel = np.eye(n) if kernel is None else kernel
    cell = make(n, activation=activation, **kwargs)
    cell.build((None, len(kernel)))
    biases = [np.zeros(n) if bias is None else bias] if cell.use_bias else []
    cell.set_weights([kernel, recurrent_matrix, *biases])
    return cell


def states_of(cell: Any, x: Array, activation: Any) -> Array:
    """Loop over the steps of inputs of shape (steps, features), from zero."""
    kernel, matrix = to_numpy(cell.kernel), to_numpy(cell.recurrent_kernel)
    bias = 0.0 if cell.bias is None else to_numpy(cell.bias)
    h, states = np.zeros(len(matrix)), []
    for inputs in x:
        h = activation(h @ matrix + inputs @ kernel + bias)
        states.append(h)
    return np.array(states)


def orthogonal(n: int, seed: int = 0) -> Array:
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(n, n)))[0]


def jordan(value: float, *blocks: int) -> Array:
    """Return Jordan blocks of these sizes, all of one eigenvalue."""
    n = sum(blocks)
    ends = np.cumsum(blocks)[:-1]
    above = np.ones(n - 1)
    above[ends - 1] = 0.0
    return value * np.eye(n) + np.diag(above, 1)
