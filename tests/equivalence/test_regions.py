"""Affine pieces and Markov parameters, against Keras and against long runs."""

from typing import Any

import keras
import numpy as np
import pytest

from keras_urnn.equivalence.ranges.activations import pieces_of
from keras_urnn.equivalence.ranges.recurrence import Recurrence
from keras_urnn.equivalence.verification.affine_regions import Network, held_regions
from keras_urnn.equivalence.verification.float64_runs import trajectory
from keras_urnn.equivalence.verification.markov_parameters import (
    Comparison,
    affine_part,
    compare_regions,
)
from tests.equivalence.networks import FEATURES, RELU_LAYERS, Array, recurrence
from tests.helpers import to_numpy

ReLU = keras.layers.ReLU
PIECEWISE = [
    "linear",
    "relu",
    "leaky_relu",
    "relu6",
    "hard_sigmoid",
    "hard_tanh",
    "sparse_sigmoid",
    "hard_shrink",
    "soft_shrink",
]
ACTIVATIONS = [keras.activations.get(name) for name in PIECEWISE]
ACTIVATIONS += [ReLU(*arguments) for arguments in RELU_LAYERS]
each_activation = pytest.mark.parametrize(
    "activation", ACTIVATIONS, ids=[*PIECEWISE, *map(str, RELU_LAYERS)]
)


@each_activation
def test_the_pieces_are_those_of_keras(activation: Any) -> None:
    pieces = pieces_of(activation)
    assert pieces is not None
    z = np.linspace(-8.0, 8.0, 4001) + 1e-4  # on no end
    index = pieces.piece(z)
    found = pieces.slopes[index] * z + pieces.offsets[index]
    expected = to_numpy(activation(keras.ops.convert_to_tensor(z.astype("float32"))))
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-6)
    assert np.all(pieces.distance(z) >= 4e-5)
    if pieces.ends.size:
        assert pieces.distance(pieces.ends).tolist() == [0.0] * len(pieces.ends)


def test_what_is_not_affine_in_pieces_has_none() -> None:
    names = dir(keras.activations)
    functions = [getattr(keras.activations, name) for name in names if name[0] != "_"]
    known = [f for f in functions if callable(f) and pieces_of(f) is not None]
    assert set(known) == set(ACTIVATIONS[: len(PIECEWISE)])
    assert pieces_of(ReLU(max_value=0.5, threshold=0.5)) is None


@each_activation
def test_the_affine_part_is_the_step_of_the_recurrence(activation: Any) -> None:
    network = scaled(network_of(activation))
    x = np.random.default_rng(0).uniform(-2.0, 2.0, (6, 5, FEATURES))
    run, pieces = trajectory(network, x), pieces_of(activation)
    assert pieces is not None
    for row in range(6):
        h = network.initial_state
        for t in range(5):
            index = pieces.piece(run.preactivations[row, t])
            part = affine_part(network, pieces, index)
            h = h @ part.recurrent_matrix + x[row, t] @ part.kernel + part.bias
            np.testing.assert_allclose(h, run.states[row, t], rtol=1e-6, atol=1e-6)


def network_of(activation: Any, n: int = 4, seed: int = 3) -> Recurrence:
    network = recurrence(n, 0.9, seed, centred=True)
    return Recurrence(**{**vars(network), "activation": activation})


def scaled(network: Recurrence) -> Recurrence:
    d = np.array([1.0, 2.0, 0.5, 3.0])
    return Recurrence(**{**vars(network), "scale": d})


def compare(
    one: Recurrence, other: Recurrence, readouts: Any = None, **kwargs: Any
) -> Comparison:
    x = np.random.default_rng(1).uniform(-2.0, 2.0, (16, FEATURES))
    seen = readouts or (np.eye(one.units), np.eye(other.units))
    arguments: dict[str, Any] = {"x": x, "steps": 100, "unit": 0.0, **kwargs}
    found = compare_regions((one, other), seen, **arguments)
    assert found is not None
    return found


def permuted(network: Recurrence, order: Array) -> Recurrence:
    return Recurrence(
        **{
            **vars(network),
            "kernel": network.kernel[:, order],
            "recurrent_matrix": network.recurrent_matrix[np.ix_(order, order)],
            "bias": network.bias[order],
            "initial_state": network.initial_state[order],
            "resting_state": network.centre[order],
        }
    )


@each_activation
def test_a_network_in_another_order_is_equal_in_each_region(activation: Any) -> None:
    one, order = network_of(activation), np.array([2, 0, 3, 1])
    found = compare(one, permuted(one, order), (np.eye(4), np.eye(4)[order]))
    assert found.regions >= 1
    assert found.order == 9
    assert found.is_equal
    assert not compare(one, permuted(one, order)).is_equal


def test_one_late_markov_parameter_is_enough_to_differ() -> None:
    """Two chains of three states, that differ in what the last one of them sends."""
    shift = np.diag([1.0, 1.0], 1)
    chain = {
        **vars(network_of(keras.activations.linear, 3)),
        "kernel": np.array([[1.0, 0.0, 0.0]]),
        "recurrent_matrix": shift,
        "bias": np.zeros(3),
        "initial_state": np.zeros(3),
    }
    other = {**chain, "recurrent_matrix": shift * [1.0, 1.0, 1.001]}
    last = np.array([[0.0], [0.0], [1.0]])
    x = np.array([[1.0], [0.5]])
    found = compare(Recurrence(**chain), Recurrence(**other), (last, last), x=x)
    assert not found.is_equal
    np.testing.assert_allclose(found.difference, 0.001 / 1.001, rtol=1e-9)
    first = np.array([[1.0], [1.0], [0.0]])
    assert compare(
        Recurrence(**chain), Recurrence(**other), (first, first), x=x
    ).is_equal


def test_markov_parameters_differ_where_outputs_do_not() -> None:
    """One feature makes up for the other, in the inputs that are tried alone."""
    chain = {
        **vars(network_of(keras.activations.linear, 3)),
        "kernel": np.array([[1.0, 0.0, 0.0], [1.0, 0.0, 0.0]]),
        "recurrent_matrix": np.diag([1.0, 1.0], 1),
        "bias": np.zeros(3),
        "initial_state": np.zeros(3),
    }
    other = {**chain, "kernel": np.array([[1.01, 0.0, 0.0], [0.98, 0.0, 0.0]])}
    last = np.array([[0.0], [0.0], [1.0]])
    x = np.array([[1.0, 0.5], [0.5, 0.25]])
    found = compare(Recurrence(**chain), Recurrence(**other), (last, last), x=x)
    assert not found.is_equal
    np.testing.assert_allclose(found.difference, 0.02 / 1.01, rtol=1e-9)


def test_other_constants_are_other_outputs() -> None:
    one = network_of(keras.activations.linear)
    step = np.array([0.0, 1e-3, 0.0, 0.0])
    other = Recurrence(**{**vars(one), "bias": one.bias + step})
    assert not compare(one, other).is_equal
    start = one.initial_state + step
    assert not compare(
        one, Recurrence(**{**vars(one), "initial_state": start})
    ).is_equal


def test_a_feature_that_does_not_vary_counts_as_a_constant() -> None:
    one = network_of(keras.activations.linear)
    # What the kernel gives more for x_0 = 1, the bias takes back.
    more = np.zeros((FEATURES, 4))
    more[0] = 0.5
    other = Recurrence(
        **{**vars(one), "kernel": one.kernel + more, "bias": one.bias - more[0]}
    )
    x = np.random.default_rng(1).uniform(-2.0, 2.0, (4, FEATURES))
    assert not compare(one, other, x=x).is_equal
    x[:, 0] = 1.0
    assert compare(one, other, x=x).is_equal


def test_rounded_weights_are_allowed_for_by_what_they_do() -> None:
    one = network_of(keras.activations.relu)
    rounded = Recurrence(
        **{**vars(one), "kernel": one.kernel.astype("float32").astype("float64")}
    )
    assert not compare(one, rounded).is_equal
    assert compare(one, rounded, unit=2.0**-23).is_equal
    assert not compare(one, rounded, unit=2.0**-40).is_equal


def test_a_region_counts_once_it_was_held_for_the_order() -> None:
    one = network_of(keras.activations.linear)
    assert compare(one, one, steps=8).regions == 0
    assert compare(one, one, steps=9).regions == 1


@pytest.mark.parametrize(
    ("order", "steps", "piece", "before"), [(3, 3, 1, 0.0), (4, 7, 2, 0.9)]
)
def test_a_region_begins_where_the_last_state_came_to_its_piece(
    order: int, steps: int, piece: int, before: float
) -> None:
    """A state that is 0.3, 0.6, 0.9, and then beyond the end of its piece."""
    activation = keras.activations.hard_tanh
    ramp = {
        **vars(network_of(activation, 1)),
        "kernel": np.array([[0.3]]),
        "recurrent_matrix": np.eye(1),
        "bias": np.zeros(1),
        "initial_state": np.zeros(1),
        "resting_state": None,
    }
    pieces = pieces_of(activation)
    assert pieces is not None
    network = Network(Recurrence(**ramp), pieces, np.eye(1))
    x = np.ones((1, 1))
    (found,) = held_regions([network, network], x, steps, order)
    assert [index.tolist() for index in found.indices] == [[piece], [piece]]
    np.testing.assert_allclose(found.states, [[before], [before]], rtol=1e-12)
    assert not held_regions([network, network], x, steps - 1, order)


def test_networks_that_are_too_large_are_not_compared() -> None:
    one = network_of(keras.activations.linear, 1000)
    found = compare(one, one, steps=1000)
    assert found.regions == 0


def test_smooth_activations_have_no_regions() -> None:
    one = network_of(keras.activations.tanh)
    x = np.zeros((1, FEATURES))
    assert compare_regions((one, one), (np.eye(4), np.eye(4)), x, 9, 0.0) is None
