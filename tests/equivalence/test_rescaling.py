"""Expansive networks that are contractive in other scales of their states."""

import dataclasses
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import keras_urnn as ku
from keras_urnn.equivalence import to_unitary, verify_equivalence
from keras_urnn.equivalence.plans.unitary_weights import dilated_weights
from keras_urnn.equivalence.ranges.intervals import symmetric
from keras_urnn.equivalence.ranges.layers import layer_ranges
from keras_urnn.equivalence.ranges.reachable_states import reachable_states
from keras_urnn.equivalence.ranges.recurrence import recurrence_of
from keras_urnn.equivalence.ranges.rescaled_states import admissible, in_scale
from tests.equivalence.layers import full_states, run
from tests.equivalence.networks import BOUND, FEATURES, difference, inputs, recurrence
from tests.helpers import precision, to_numpy


def expansive(n: int, seed: int, spread: int, norm: float = 0.9) -> Any:
    """A contractive network in scales that spread over this many powers of two."""
    generator = np.random.default_rng(seed)
    return in_scale(
        recurrence(n, norm, seed), np.exp2(generator.integers(-spread, spread + 1, n))
    )


def simple(network: Any, **kwargs: Any) -> Any:
    layer = keras.layers.SimpleRNN(
        network.units, "relu", return_sequences=True, **kwargs
    )
    layer.build((None, None, FEATURES))
    weights = (network.kernel, network.recurrent_matrix, network.bias)
    layer.set_weights(list(weights))
    return layer


@settings(deadline=None, max_examples=30)
@given(st.integers(2, 12), st.integers(0, 2**32 - 1), st.integers(1, 10))
def test_scales_are_found_and_exact(n: int, seed: int, spread: int) -> None:
    network = expansive(n, seed, spread)
    network = in_scale(network, np.ones(n))  # forget the scale that it was made with
    scaled = admissible(network, None)
    assert scaled.norm < 1.0
    back = in_scale(scaled, np.ones(n))
    np.testing.assert_array_equal(back.recurrent_matrix, network.recurrent_matrix)
    new = dilated_weights(scaled, symmetric(BOUND), None)
    np.testing.assert_array_equal(new.kernel[:, :n], network.kernel)
    np.testing.assert_array_equal(new.bias[:n], network.bias)


@pytest.mark.each_backend
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_an_expansive_layer_is_converted(dtype: str) -> None:
    with precision(dtype):
        network = expansive(6, 2, 5)
        layer = simple(network)
        assert np.linalg.norm(to_numpy(layer.cell.recurrent_kernel), 2) > 2.0
        converted = to_unitary(layer, input_bound=BOUND)
        x = inputs(recurrence(6, 0.9, 2), 300, seed=3).astype(dtype)
        expected, found = run(layer, x), run(converted, x)
        added = full_states(converted, x)[..., 6:]
        report = verify_equivalence(
            layer, converted, input_bound=BOUND, steps=100, batch_size=2, search=False
        )
    assert np.all(np.log2(converted.state_scale) % 1.0 == 0.0)
    # On PyTorch Keras computes its own float64 layers in float32.
    exact = dtype == "float64" and keras.config.backend() != "torch"
    assert difference(expected, found) <= (1e-12 if exact else 1e-6)
    assert np.all(added == 0.0)
    assert report.equivalent, report


def test_the_example_of_two_states() -> None:
    """`[[0.5, 5], [0, 0.5]]` has norm 5.05; the infimum, 0.5, is not attained."""
    network = expansive(2, 0, 0)
    layer = simple(network)
    layer.cell.recurrent_kernel.assign(np.array([[0.5, 5.0], [0.0, 0.5]]))
    converted = to_unitary(layer, input_bound=1.0)
    d = np.asarray(converted.state_scale)
    assert d[0] / d[1] > 6.67
    np.testing.assert_array_equal(d[2:], 1.0)
    corner = to_numpy(converted.cell.recurrent_kernel)[:2, :2]
    np.testing.assert_array_equal(corner, [[0.5, 5.0 * d[1] / d[0]], [0.0, 0.5]])


def test_a_scaled_cell_is_scaled_further() -> None:
    d = [8.0, 1.0, 0.25, 2.0]
    layer = ku.ContractiveRNN(4, return_sequences=True, state_scale=d, max_norm=0.9)
    layer.build((None, None, FEATURES))
    layer.cell.bias.assign(np.array([1.0, -0.5, 0.2, 0.1]))
    converted = to_unitary(layer, input_bound=BOUND)
    assert converted.state_scale == d + 4 * [1.0]
    x = inputs(recurrence(4, 0.9, 2), 50, seed=3).astype("float32")
    assert difference(run(layer, x), run(converted, x)) <= 1e-6
    assert verify_equivalence(
        layer, converted, input_bound=BOUND, search=False
    ).equivalent


def test_the_bounds_hold_the_scaled_start() -> None:
    start, d = np.array([300.0, -2.0, 1.0]), np.array([16.0, 1.0, 0.25])
    network = recurrence(3, 0.5, 1)
    network = dataclasses.replace(network, initial_state=start, scale=d)
    reached = reachable_states(network, symmetric(np.full(FEATURES, BOUND)), None)
    assert np.linalg.norm(start * d) <= reached.radius < np.inf
    assert np.all(reached.box.lower <= start * d)
    assert np.all(start * d <= reached.box.upper)


def test_pruning_gives_the_scaled_original_back() -> None:
    layer = simple(expansive(5, 4, 3))
    converted = to_unitary(layer, input_bound=BOUND)
    pruned = ku.prune_inactive(converted, input_bound=BOUND)
    assert type(pruned) is ku.ContractiveRNN
    d = np.asarray(pruned.state_scale)
    back = d[:, None] * to_numpy(pruned.recurrent_matrix()) / d
    np.testing.assert_array_equal(back, to_numpy(layer.cell.recurrent_kernel))
    for ours, theirs in (
        (pruned.cell.kernel, layer.cell.kernel),
        (pruned.cell.bias, layer.cell.bias),
    ):
        np.testing.assert_array_equal(to_numpy(ours), to_numpy(theirs))


def test_the_range_of_an_expansive_layer_holds_its_outputs() -> None:
    layer = simple(expansive(5, 4, 3))
    x = inputs(recurrence(5, 0.9, 2), 200, seed=3).astype("float32")
    (found,) = layer_ranges(layer, [symmetric(np.full(FEATURES, np.max(BOUND)))])
    y = run(layer, x)
    assert found is not None
    assert np.all(found.lower <= y)
    assert np.all(y <= found.upper)


@pytest.mark.parametrize("change", ["matrix", "scale", "added-scale"])
def test_a_wrong_scale_is_reported(change: str) -> None:
    layer = simple(expansive(4, 2, 3))
    converted = to_unitary(layer, input_bound=BOUND)
    d = list(converted.state_scale)
    if change == "matrix":
        matrix = to_numpy(converted.cell.recurrent_kernel)
        matrix[0, 0] += 1e-4
        converted.cell.recurrent_kernel.assign(matrix)
    else:
        d[0 if change == "scale" else 6] *= 2.0
        wrong = ku.UnitaryRNN.from_config({**converted.get_config(), "state_scale": d})
        wrong.build((None, None, FEATURES))
        wrong.set_weights(converted.get_weights())
        converted = wrong
    report = verify_equivalence(
        layer, converted, input_bound=BOUND, steps=50, batch_size=2, search=False
    )
    assert not report.equivalent
    words = "an added state has a scale" if change == "added-scale" else "the corner"
    assert any(words in reason for reason in report.reasons)


REFUSED = {
    "spectral-radius": ([[1.2, 0.0], [0.0, 0.5]], ["eigenvalue 1.2", "`horizon`"]),
    "both": ([[0.5, 0.9], [0.9, 0.5]], ["spectral radius 1.4", "ContractiveRNN"]),
}


@pytest.mark.parametrize(("matrix", "words"), REFUSED.values(), ids=REFUSED)
def test_what_no_scale_makes_contractive_is_refused(
    matrix: list[list[float]], words: list[str]
) -> None:
    layer = simple(expansive(2, 0, 0))
    layer.cell.recurrent_kernel.assign(np.array(matrix))
    with pytest.raises(ValueError, match="no diagonal scaling") as caught:
        to_unitary(layer, input_bound=1.0)
    for word in words:
        assert word in str(caught.value)


def test_scales_beyond_the_dtype_are_refused() -> None:
    with precision("mixed_float16"):
        layer = simple(expansive(2, 0, 0))
        layer.cell.recurrent_kernel.assign(np.array([[0.5, 0.0], [6e4, 0.5]]))
        with pytest.raises(ValueError, match=r"scalable within 2\*\*±6"):
            to_unitary(layer, input_bound=1.0)


def test_fewer_states_are_not_bought_with_scales_beyond_the_dtype() -> None:
    with precision("mixed_float16"):
        layer = simple(expansive(3, 0, 0))
        layer.cell.recurrent_kernel.assign(np.diag([2.0**-14, 2.0**-14], 1))
        converted = to_unitary(layer, input_bound=1.0, minimize_states=True)
    assert (converted.units, converted.state_scale) == (6, None)


def test_another_activation_is_not_scaled() -> None:
    layer = keras.layers.SimpleRNN(2, "relu6")
    layer.build((None, None, FEATURES))
    matrix = np.array([[0.5, 5.0], [0.0, 0.5]])
    layer.cell.recurrent_kernel.assign(matrix)
    with pytest.raises(ValueError, match=r"spectral norm 5\.04"):
        to_unitary(layer, input_bound=1.0)
    assert recurrence_of(layer.cell).norm > 5.0


def test_a_weighted_shift_needs_one_added_state() -> None:
    layer = simple(expansive(5, 0, 0))
    layer.cell.recurrent_kernel.assign(np.diag([0.5, 3.0, 0.25, 0.7], 1))
    assert to_unitary(layer, input_bound=BOUND).units == 10
    assert_minimized(layer, 6)


def test_any_other_network_needs_one_state_less() -> None:
    layer = simple(expansive(6, 3, 0))
    converted = assert_minimized(layer, 11)
    # And every layer of a model, in both directions.
    both = keras.layers.Bidirectional(keras.layers.SimpleRNN(6, "relu"), name="both")
    model = keras.Sequential([keras.Input((20, FEATURES)), both])
    for one in (both.forward_layer, both.backward_layer):
        one.set_weights(layer.get_weights())
    new = to_unitary(model, input_bound=BOUND, minimize_states=True).layers[0]
    assert new.forward_layer.units == new.backward_layer.units == converted.units


def assert_minimized(layer: Any, units: int) -> Any:
    """Check the conversion to at most so many states; return it."""
    converted = to_unitary(layer, input_bound=BOUND, minimize_states=True)
    n = layer.units
    assert converted.units <= units
    x = inputs(recurrence(n, 0.9, 2), 500, seed=3).astype("float32")
    # The scales are no powers of two.
    assert difference(run(layer, x), run(converted, x)) <= 1e-5
    assert np.all(full_states(converted, x)[..., n:] == 0.0)
    report = verify_equivalence(
        layer, converted, input_bound=BOUND, steps=100, batch_size=2, search=False
    )
    assert report.equivalent, report
    converted.cell.bias.assign(to_numpy(converted.cell.bias) + 1e-3)
    assert not verify_equivalence(
        layer, converted, input_bound=BOUND, steps=10, batch_size=2, search=False
    ).equivalent
    return converted


@pytest.mark.parametrize("matrix", [np.diag([0.5, 0.3]), np.eye(2)])
def test_a_diagonal_matrix_has_no_better_scales(matrix: Any) -> None:
    layer = simple(expansive(2, 0, 0))
    layer.cell.recurrent_kernel.assign(matrix)
    plain = to_unitary(layer, input_bound=BOUND, horizon=9)
    minimized = to_unitary(layer, input_bound=BOUND, horizon=9, minimize_states=True)
    assert minimized.state_scale is None
    assert minimized.units == plain.units


def test_an_activation_that_is_not_homogeneous_is_not_scaled() -> None:
    layer = keras.layers.SimpleRNN(2, "relu6")
    layer.build((None, None, FEATURES))
    layer.cell.recurrent_kernel.assign(np.array([[0.0, 0.5], [0.0, 0.0]]))
    converted = to_unitary(layer, input_bound=BOUND, minimize_states=True)
    assert (converted.units, converted.state_scale) == (4, None)


@pytest.mark.parametrize("minimize_states", [False, True])
def test_no_scale_makes_a_jordan_block_unitary(minimize_states: bool) -> None:
    layer = keras.layers.SimpleRNN(2, "relu")
    layer.build((None, None, 2))
    jordan = np.array([[1.0, 1.0], [0.0, 1.0]])
    layer.set_weights([np.eye(2), jordan, np.ones(2)])
    with pytest.raises(ValueError, match="spectral radius 1"):
        to_unitary(layer, input_bound=1.0, horizon=50, minimize_states=minimize_states)
