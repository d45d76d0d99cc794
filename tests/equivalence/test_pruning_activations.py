"""Backwards: every activation constant on a half-line, and matrices of norm 1."""

import dataclasses
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import keras_urnn as ku
from keras_urnn.equivalence import inactive_states, prune_inactive, to_unitary
from keras_urnn.equivalence.plans.unitary_weights import dilated_weights
from keras_urnn.equivalence.ranges.intervals import symmetric
from keras_urnn.equivalence.ranges.proof_of_inactivity import prove_inactive
from keras_urnn.equivalence.ranges.recurrence import Recurrence
from keras_urnn.equivalence.ranges.relu_layers import numbers_of
from keras_urnn.equivalence.ranges.rescaled_states import (
    admissible,
    with_few_added_states,
)
from keras_urnn.equivalence.ranges.restricted_recurrence import restricted
from tests.equivalence.layers import build, run
from tests.equivalence.networks import (
    BOUND,
    CONVERTED,
    FEATURES,
    RELU_LAYERS,
    Array,
    inputs,
    norms,
    recurrence,
    relu_layer,
    seeds,
)
from tests.helpers import precision, to_numpy

L = keras.layers
ENTERING = symmetric(np.full(FEATURES, BOUND))
# Names, and the arguments of a `keras.layers.ReLU`.
ACTIVATIONS = [*CONVERTED, *RELU_LAYERS]


def made(activation: Any, dtype: str = "float32") -> Any:
    named = isinstance(activation, str)
    return activation if named else L.ReLU(*activation, dtype=dtype)


def activate(activation: Any) -> Any:
    """The activation in NumPy."""
    named = isinstance(activation, str)
    return CONVERTED[activation] if named else relu_layer(*activation)


def half_dead(n: int, norm: float, seed: int, dtype: str, activation: Any) -> Any:
    """A network of which some states start at rest and are held there, or nearly so."""
    network = recurrence(n, norm, seed, dtype)
    function = keras.activations.get(made(activation, dtype))
    network = dataclasses.replace(network, activation=function)
    flat = network.flat
    assert flat is not None
    generator = np.random.default_rng(seed + 2)
    bias = network.bias + flat.side * generator.choice([0.0, 4.0, 8.0, 30.0], n)
    start = flat.value + generator.choice([0.0, 0.0, 0.0, -0.25], n)
    start = start.astype(dtype).astype("float64")
    bias = bias.astype(dtype).astype("float64")
    centre = generator.choice([0.0, flat.value, 0.25], n)
    new = {"bias": bias, "initial_state": start, "resting_state": centre}
    return dataclasses.replace(network, **new)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("activation", ACTIVATIONS, ids=str)
@settings(max_examples=15)
@given(st.integers(1, 8), norms, seeds)
def test_no_input_takes_a_state_beyond_its_margin(
    activation: Any, dtype: str, n: int, norm: float, seed: int
) -> None:
    with precision(dtype):
        network = half_dead(n, norm, seed, dtype, activation)
        off, flat = prove_inactive(network, ENTERING, None), network.flat
        # A layer rounds its numbers, TensorFlow's to float32 whatever the dtype.
        rounded = type(activation) is tuple
        numbers = numbers_of(network.activation) if rounded else activation
        step = activate(numbers)
    assert flat is not None
    x = inputs(network, 40, seed).astype(dtype)
    names = "kernel", "recurrent_matrix", "bias", "initial_state", "centre"
    K, R, b, start, centre = (getattr(network, name).astype(dtype) for name in names)
    h = np.broadcast_to(start, (len(x), n))
    for t in range(x.shape[1]):
        z = (h - centre) @ R + (x[:, t] @ K + b)
        h = step(z)
        outwards = -flat.side * (z - flat.edge)
        assert np.all(h[:, off.states] == flat.value)
        assert np.all(outwards[:, off.states] <= off.suprema[off.states])
        assert np.all((off.box.lower <= h) & (h <= off.box.upper))


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=str)
def test_the_networks_have_dead_and_living_states(activation: Any) -> None:
    networks = [half_dead(6, 0.9, s, "float32", activation) for s in range(20)]
    proved = [prove_inactive(network, ENTERING, None) for network in networks]
    counts = [int(found.states.sum()) for found in proved]
    assert min(counts) <= 1
    assert max(counts) >= 3


@pytest.mark.parametrize("learned", [False, True])
@pytest.mark.parametrize("activation", ACTIVATIONS, ids=str)
def test_pruning_undoes_the_conversion(activation: Any, learned: bool) -> None:
    n = 5
    cell = ku.ContractiveRNNCell(n, made(activation), learn_initial_state=learned)
    build(cell, seed=4)
    converted = to_unitary(cell, input_bound=BOUND)
    (found,) = inactive_states(converted, input_bound=BOUND)
    assert found.removable == tuple(range(n, 2 * n))
    # The conversion takes no larger biases than it needs.
    assert 0.0 <= min(found.margins) < 1e-4
    back = prune_inactive(converted, input_bound=BOUND)
    assert type(back) is ku.ContractiveRNNCell
    assert (back.units, back.output_units, back.resting_state) == (n, None, None)
    for one, other in zip(cell.get_weights(), back.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def resting_at_minus_1(
    bias: float = -30.0, centre: tuple[float, float] | None = None, **kwargs: Any
) -> Any:
    """A hidden state that rests at -1, with a weight of 1/2 to the only output.

    Its step is centred there. With a `centre` it is centred elsewhere, and the states
    learn to start from where they would have rested.
    """
    start, learned = [0.25, -1.0], centre is not None
    arguments = {"output_units": 1, "resting_state": centre or start, **kwargs}
    layer = ku.ContractiveRNN(2, "hard_tanh", learn_initial_state=learned, **arguments)
    layer.build((2, None, 1))
    matrix = np.array([[0.5, 0.25], [0.5, 0.0]])
    weights = [np.array([[0.5, 0.0]]), matrix, np.array([0.125, bias])]
    layer.cell.set_weights(weights + ([np.array(start)] if learned else []))
    return layer


def pruned(layer: Any) -> Any:
    return prune_inactive(layer, input_bound=1.0)


@pytest.mark.parametrize("stateful", [False, True])
def test_what_rests_at_the_centre_sends_nothing(stateful: bool) -> None:
    back = pruned(resting_at_minus_1(stateful=stateful))
    assert (back.units, back.cell.resting_state) == (1, [0.25])
    assert [weight.item() for weight in back.get_weights()] == [0.5, 0.5, 0.125]


@pytest.mark.parametrize("scale", [None, [2.0, 1.0]])
@pytest.mark.parametrize("rest", [0.0, 0.5, -0.75])
def test_what_a_resting_state_sends_becomes_a_bias(
    rest: float, scale: list[float] | None
) -> None:
    layer = resting_at_minus_1(centre=(0.5, rest), state_scale=scale)
    back = pruned(layer)
    assert (back.units, back.resting_state) == (1, [0.5])
    assert back.state_scale == (scale and [2.0])
    kernel, matrix, bias, start = (weight.item() for weight in back.get_weights())
    sent = 0.5 * (-1.0 - rest) / (2.0 if scale else 1.0)
    assert [kernel, matrix, start] == [0.5, 0.5, 0.25]
    assert bias == 0.125 + sent
    x = np.random.default_rng(0).uniform(-1.0, 1.0, (2, 20, 1)).astype("float32")
    np.testing.assert_allclose(run(back, x), run(layer, x), rtol=0, atol=1e-6)


def test_what_a_scaled_state_sends_is_scaled() -> None:
    arguments = {"output_units": 1, "learn_initial_state": True}
    arguments |= {"resting_state": [0.0, 0.5], "state_scale": [1.0, 4.0]}
    cell = ku.ContractiveRNNCell(2, "relu", **arguments)
    cell.build((None, 1))
    kernel, matrix = np.array([[0.5, 0.0]]), np.array([[0.5, 0.0], [0.25, 0.0]])
    cell.set_weights([kernel, matrix, np.array([3.0, -1.0]), np.zeros(2)])
    # It rests at 0, and sends (0 - 0.5) · 4 · 0.25.
    assert to_numpy(pruned(cell).bias).item() == 3.0 - 0.5


def test_it_becomes_one_where_there_was_none() -> None:
    arguments = {"output_units": 1, "use_bias": False, "learn_initial_state": True}
    cell = ku.ContractiveRNNCell(2, "hard_tanh", resting_state=[0, 9], **arguments)
    cell.build((None, 1))
    matrix = np.array([[0.0, 0.25], [0.5, 0.5]])  # the hidden state holds itself
    cell.set_weights([np.array([[0.5, 0.0]]), matrix, np.array([0.0, -1.0])])
    back = pruned(cell)
    assert (back.units, to_numpy(back.bias).item()) == (1, -5.0)


@pytest.mark.parametrize("start", [0.0, -0.5])
def test_a_state_that_starts_elsewhere_is_kept(start: float) -> None:
    layer = resting_at_minus_1(resting_state=[0.25, start])
    assert pruned(layer).units == 2


def test_a_scaled_state_that_rests_elsewhere_is_kept() -> None:
    # It starts at 3 · (-1), and what the step gives is -1 / 3.
    assert pruned(resting_at_minus_1(state_scale=[1, 3])).units == 2
    assert pruned(resting_at_minus_1(state_scale=[3, 1])).units == 1


# The output is at most 0.5 + 0.125 + 0.125 - 0.5 = 0.25, and sends a quarter of it;
# rounding in TF32 may add some 0.02.
@pytest.mark.parametrize(("bias", "units"), [(-1.06, 2), (-1.09, 1)])
def test_the_half_line_ends_at_its_edge(bias: float, units: int) -> None:
    assert pruned(resting_at_minus_1(bias, centre=(0.0, 0.0))).units == units


def test_a_state_that_nothing_drives_may_rest_on_the_edge() -> None:
    cell = ku.ContractiveRNNCell(2, "hard_sigmoid", output_units=1)
    cell.build((None, 1))
    for bias, units in [(-3.0, 1), (np.nextafter(np.float32(-3.0), 0.0), 2)]:
        weights = [np.array([[1.0, 0.0]]), np.diag([0.5, 0.0]), np.array([0.0, bias])]
        cell.set_weights(weights)
        assert prune_inactive(cell, input_bound=1.0).units == units


def test_a_stateful_layer_that_may_start_from_0_keeps_what_rests_elsewhere() -> None:
    resting = resting_at_minus_1().cell
    cell = ku.ContractiveRNNCell.from_config(resting.get_config())
    layer = L.RNN(cell, stateful=True)
    layer.build((2, None, 1))
    cell.set_weights(resting.get_weights())
    # `keras.layers.RNN` resets it to 0, not to -1.
    assert inactive_states(layer, input_bound=1.0)[0].removable == ()
    layer.stateful = False
    assert inactive_states(layer, input_bound=1.0)[0].removable == (1,)


def test_an_activation_of_another_dtype_is_refused() -> None:
    cell = ku.ContractiveRNNCell(2, L.ReLU(dtype="float16"), dtype="float32")
    build(cell)
    with pytest.raises(ValueError, match=r"half-line, as 'relu'.*dtype of the cell"):
        prune_inactive(cell, input_bound=1.0)


def test_every_activation_of_a_stack_comes_back() -> None:
    """What leaves a converted cell is hardly wider than what left the original."""
    n, activations = 3, [L.ReLU(1.5, 0.25), "relu", "hard_tanh", "relu"]
    stack = L.RNN([ku.ContractiveRNNCell(n, one) for one in activations])
    stack.build((None, None, FEATURES))
    for seed, cell in enumerate(stack.cell.cells):
        network = recurrence(n, 0.9, seed)
        # Small, so that hard_tanh isn't at its ends.
        bias, kernel = 0.1 * network.bias, 0.01 * network.kernel
        cell.set_weights([kernel[:FEATURES], 0.5 * network.recurrent_matrix, bias])
    converted = to_unitary(stack, input_bound=BOUND)
    back = prune_inactive(converted, input_bound=BOUND)
    assert [cell.units for cell in back.cell.cells] == 4 * [n]


def test_a_smooth_cell_of_a_stack_is_copied() -> None:
    cells = [ku.UnitaryRNNCell(3, "tanh"), ku.ContractiveRNNCell(3, output_units=1)]
    stack = L.RNN(cells)
    stack.build((None, None, 1))
    cells[0].kernel.assign(np.full((1, 3), 9.0))
    # What enters the second is within 1: its states see less than -2 or not.
    kernel = np.array([[1.0, 1.0, 1.0], [0.0, 0.5, 1.0], [0.0, 0.0, 0.1]])
    cells[1].set_weights([kernel, np.zeros((3, 3)), np.array([0.0, -1.6, -2.0])])
    report = inactive_states(stack, input_bound=1.0)
    assert [(cell.name, cell.removable) for cell in report] == [
        (f"{stack.name}/{cells[1].name}", (1,))
    ]
    back = prune_inactive(stack, input_bound=1.0)
    assert [type(cell) for cell in back.cell.cells] == [type(cell) for cell in cells]
    assert [cell.units for cell in back.cell.cells] == [3, 2]
    for one, other in zip(
        cells[0].get_weights(), back.cell.cells[0].get_weights(), strict=True
    ):
        np.testing.assert_array_equal(one, other)


# Norm 1 in the scale that is stored.


def few_added(network: Recurrence) -> Recurrence:
    """What `minimize_states` makes of a network, its added states included."""
    ready = admissible(network, None)
    assert isinstance(ready, Recurrence)
    scaled = with_few_added_states(network, ready)
    new = dilated_weights(scaled, ENTERING, None)
    scale = np.pad(scaled.d, (0, len(new.bias) - network.units), constant_values=1.0)
    return dataclasses.replace(scaled, **vars(new), scale=scale)


@pytest.mark.parametrize("n", [2, 3, 5, 8])
@pytest.mark.parametrize("norm", [0.9, 0.999, 5.0])
def test_pruning_undoes_the_least_conversion(norm: float, n: int) -> None:
    cell = build(L.SimpleRNNCell(n, "relu"), min(norm, 0.9), seed=n)
    if norm > 1.0:
        d = 4.0 ** np.arange(n)
        matrix = to_numpy(cell.recurrent_kernel) * d / d[:, None]
        cell.recurrent_kernel.assign(np.triu(matrix))
    converted = to_unitary(cell, input_bound=BOUND, minimize_states=True)
    assert n < converted.units < 2 * n
    corner = to_numpy(converted.recurrent_kernel)[:n, :n]
    assert abs(np.linalg.norm(corner.astype("float64"), 2) - 1.0) < 1e-6
    (found,) = inactive_states(converted, input_bound=BOUND)
    assert found.bounded
    assert found.removable == tuple(range(n, converted.units))
    back = prune_inactive(converted, input_bound=BOUND)
    assert back.units == n
    K, R, b = cell.get_weights()
    kernel, matrix, bias = back.get_weights()
    np.testing.assert_array_equal(kernel, K)
    np.testing.assert_array_equal(bias, b)
    np.testing.assert_array_equal(matrix, corner)
    assert back.state_scale == converted.state_scale[:n]
    d = np.array(back.state_scale)
    np.testing.assert_allclose(matrix * d[:, None] / d, R, rtol=4e-7, atol=1e-12)
    x = inputs(recurrence(n, 0.9, 1), 20, seed=3).astype("float32")
    before, after = run(L.RNN(converted), x), run(L.RNN(back), x)
    np.testing.assert_allclose(after, before, rtol=0, atol=1e-5 * abs(before).max())


@pytest.mark.parametrize("seed", [64, 188, 208, 376])
def test_what_looks_added_is_tried_first(seed: int) -> None:
    """From all that start at rest, the first parts have norms of nearly 1."""
    generator = np.random.default_rng(seed)
    n = int(generator.integers(3, 9))
    network = recurrence(n, [0.99999, 0.9999, 0.999][seed % 3], seed, learned=False)
    network = dataclasses.replace(
        network,
        kernel=network.kernel * (generator.random(n) < 0.5),
        bias=network.bias * (generator.random(n) < 0.5),
    )
    larger = few_added(network)
    assert larger.units > n
    found = prove_inactive(larger, ENTERING, None)
    assert np.all(found.states[n:])
    assert found.is_bounded


@settings(max_examples=20)
@given(st.integers(2, 6), st.sampled_from([0.5, 0.9]), seeds)
def test_the_box_of_another_scale_holds_the_states(
    n: int, norm: float, seed: int
) -> None:
    larger = few_added(recurrence(n, norm, seed))
    found = prove_inactive(larger, ENTERING, None)
    corner = restricted(larger, np.arange(n))
    assert corner.norm > 1.0 - 1e-9
    assert found.is_bounded
    x, d = inputs(corner, 40, seed), corner.d
    h: Array = np.broadcast_to(corner.initial_state, (len(x), n))
    for t in range(x.shape[1]):
        z = (h * d) @ corner.recurrent_matrix + (
            x[:, t] @ corner.kernel + corner.bias
        ) * d
        h = np.maximum(z, 0.0) / d
        assert np.all(h <= found.box.upper[:n])
        assert np.all(found.box.lower[:n] <= h)
        seen = (h * d) @ larger.recurrent_matrix[:n, n:] + larger.bias[n:]
        assert np.all(seen <= found.suprema[n:])


def test_the_scale_of_the_original_bounds_what_leaves_it() -> None:
    """The one found from the scale that is stored bounds it less well here."""
    stack = L.RNN([ku.ContractiveRNNCell(3), ku.ContractiveRNNCell(3)])
    stack.build((None, None, FEATURES))
    for seed, norm, cell in zip([8, 15], [0.9, 0.6], stack.cell.cells, strict=True):
        network = recurrence(3, norm, seed)
        cell.set_weights([network.kernel, network.recurrent_matrix, network.bias])
    converted = to_unitary(stack, input_bound=BOUND, minimize_states=True)
    back = prune_inactive(converted, input_bound=BOUND)
    assert [cell.units for cell in back.cell.cells] == [3, 3]
