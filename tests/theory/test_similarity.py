"""The states are `h @ T`, the outputs the same; what doesn't commute is refused."""

from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

import keras_urnn as ku
from keras_urnn.theory import similarity_transform
from tests.helpers import precision, to_numpy
from tests.theory.cells import Array, cell_of, orthogonal, states_of

ACTIVATIONS: dict[str, Any] = {
    "linear": lambda z: z,
    "relu": lambda z: np.maximum(z, 0.0),
    "leaky_relu": lambda z: np.where(z > 0.0, z, 0.2 * z),
    "tanh": np.tanh,
    "sigmoid": expit,
    "softmax": lambda z: np.exp(z) / np.exp(z).sum(),
}


def admissible(name: str, n: int, generator: np.random.Generator) -> Array:
    permutation = np.eye(n)[generator.permutation(n)]
    if name == "linear":
        # Well conditioned: the tolerance is for the arithmetic, not for T.
        return orthogonal(n, 5) @ np.diag(generator.uniform(0.5, 2.0, n)) @ permutation
    if name in ("relu", "leaky_relu"):
        return generator.uniform(0.1, 10.0, n)[:, None] * permutation
    return permutation


@pytest.mark.parametrize("name", ACTIVATIONS)
@settings(max_examples=10)
@given(st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_states_are_transformed_and_outputs_kept(name: str, n: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    T, C = admissible(name, n, generator), generator.normal(size=(n, 2))
    with precision("float64"):
        cell = cell_of(
            0.9 * orthogonal(n, seed),
            generator.normal(size=(2, n)),
            generator.normal(size=n),
            activation=name,
        )
        same, readout = similarity_transform(cell, T, readout=C)
        x = generator.normal(size=(30, 2))
        h, transformed = (states_of(one, x, ACTIVATIONS[name]) for one in (cell, same))
    # Thirty steps of products of sizes up to about 100, with T up to 20.
    np.testing.assert_allclose(transformed, h @ T, rtol=0, atol=1e-10)
    np.testing.assert_allclose(transformed @ readout, h @ C, rtol=0, atol=1e-10)


def test_a_centre_becomes_a_bias() -> None:
    centre, R = np.array([0.5, -1.0]), 0.9 * orthogonal(2)
    arguments = {"resting_state": centre, "learn_initial_state": True}
    cell = ku.ContractiveRNNCell(2, "linear", use_bias=False, **arguments)
    cell.build((None, 2))
    cell.set_weights([np.eye(2), R, np.zeros(2)])
    same = similarity_transform(cell, np.eye(2))
    np.testing.assert_allclose(to_numpy(same.bias), -centre @ R, atol=1e-6)


def test_what_comes_back_is_a_simple_cell_with_the_same_arguments() -> None:
    cell = ku.ContractiveRNNCell(
        2, use_bias=False, dropout=0.25, name="mine", dtype="mixed_bfloat16"
    )
    cell.build((None, 3))
    same = similarity_transform(cell, np.diag([2.0, 0.5]))
    assert type(same) is keras.layers.SimpleRNNCell
    assert (same.name, same.units, same.dropout) == ("mine", 2, 0.25)
    assert same.dtype_policy.name == "mixed_bfloat16"
    assert same.bias is None
    np.testing.assert_array_equal(
        to_numpy(same.kernel), to_numpy(cell.kernel) * [2.0, 0.5]
    )


def test_the_cell_itself_runs_the_same() -> None:
    cell = ku.theory.tight_example(2)
    same = similarity_transform(cell, np.array([[0.0, 2.0], [0.25, 0.0]]))
    x = np.random.default_rng(0).normal(size=(3, 9, 2)).astype("float32")
    h, transformed = (to_numpy(keras.layers.RNN(one)(x)) for one in (cell, same))
    np.testing.assert_allclose(
        transformed,
        np.stack([0.25 * h[:, 1], 2.0 * h[:, 0]], axis=1),
        rtol=0,
        atol=1e-5,
    )


def test_a_learned_start_of_0_will_do() -> None:
    cell = ku.ContractiveRNNCell(2, learn_initial_state=True)
    cell.build((None, 2))
    similarity_transform(cell, np.eye(2))
    cell.learned_initial_state.assign([0.0, 0.5])
    with pytest.raises(ValueError, match="starts from 0"):
        similarity_transform(cell, np.eye(2))


def custom(z: Any) -> Any:
    return z


REFUSED = [
    ("relu", np.diag([1.0, -1.0]), "positive diagonal.*smallest -1"),
    ("relu", np.array([[1.0, 1.0], [0.0, 1.0]]), "positive diagonal.*3 entries"),
    ("relu", np.array([[1.0, 1e-17], [0.0, 1.0]]), "3 entries"),
    ("leaky_relu", np.diag([1.0, -1.0]), "leaky_relu"),
    ("tanh", np.diag([1.0, 2.0]), "`T` must be a permutation"),
    ("relu6", np.diag([1.0, 2.0]), "relu6"),
    ("sigmoid", np.diag([1.0, -1.0]), "`T` must be a permutation"),
    ("linear", np.ones((2, 2)), "invertible.*singular values from 2"),
    ("linear", np.zeros((2, 2)), "invertible"),
    ("linear", np.eye(3), r"shape \(3, 3\)"),
    ("linear", np.eye(2)[:1], r"shape \(1, 2\)"),
    ("linear", np.ones(2), r"shape \(2,\)"),
    ("linear", 1j * np.eye(2), "complex128"),
    ("linear", np.array([[np.nan, 0.0], [0.0, 1.0]]), "NaN"),
    ("linear", np.eye(2, dtype=bool), "real numbers"),
    ("linear", "eye", "real numbers"),
    ("linear", 1e39 * np.eye(2), "overflows.*float32"),
    ("glu", np.eye(2), "acts on each state"),
    (custom, np.eye(2), "commute"),
]


@pytest.mark.filterwarnings("ignore:overflow encountered in cast:RuntimeWarning")
@pytest.mark.parametrize(("activation", "T", "match"), REFUSED)
def test_what_is_not_admissible_is_refused(activation: Any, T: Any, match: str) -> None:
    cell = cell_of(0.5 * np.eye(2), activation=activation)
    with pytest.raises(ValueError, match=match):
        similarity_transform(cell, T)


def test_a_permutation_is_admissible_for_every_other_activation() -> None:
    swap = np.array([[0.0, 1.0], [1.0, 0.0]])
    for name in ("relu6", "gelu", "hard_tanh", "softmax"):
        cell = cell_of(np.diag([0.5, 0.25]), activation=name)
        same = similarity_transform(cell, swap)
        np.testing.assert_array_equal(to_numpy(same.recurrent_kernel)[0, 0], 0.25)


def test_recurrent_dropout_is_refused() -> None:
    cell = cell_of(np.eye(2), recurrent_dropout=0.5)
    with pytest.raises(ValueError, match=r"recurrent_dropout=0\.5"):
        similarity_transform(cell, np.eye(2))


def test_a_readout_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match=r"`readout`.*shape \(3, 1\)"):
        similarity_transform(cell_of(np.eye(2)), np.eye(2), readout=np.ones((3, 1)))
