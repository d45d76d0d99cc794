"""States that no admissible input can switch on are found, and taken out again."""

import dataclasses
import itertools
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import keras_urnn as ku
from keras_urnn.equivalence import inactive_states, prune_inactive, to_unitary
from keras_urnn.equivalence.plans.unitary_weights import dilated_weights
from keras_urnn.equivalence.ranges.cells import cells_of
from keras_urnn.equivalence.ranges.intervals import symmetric
from keras_urnn.equivalence.ranges.proof_of_inactivity import (
    _with_these_off,
    prove_inactive,
)
from keras_urnn.equivalence.ranges.recurrence import Recurrence
from keras_urnn.equivalence.ranges.restricted_recurrence import restricted
from tests.equivalence.layers import SOURCES, build, run
from tests.equivalence.networks import (
    BOUND,
    FEATURES,
    Array,
    inputs,
    norms,
    recurrence,
    seeds,
    states,
)
from tests.helpers import precision, to_numpy

L = keras.layers
ENTERING = symmetric(np.full(FEATURES, BOUND))


def half_dead(n: int, norm: float, seed: int, dtype: str = "float64") -> Recurrence:
    """A network whose states start at 0, some held off, some nearly so."""
    network = recurrence(n, norm, seed, dtype)
    generator = np.random.default_rng(seed + 2)
    bias = network.bias - generator.choice([0.0, 4.0, 8.0, 30.0], n)
    start = generator.choice([0.0, 0.0, 0.0, -1.0], n)
    return dataclasses.replace(
        network, bias=bias.astype(dtype).astype("float64"), initial_state=start
    )


def with_weights(layer: Any, weights: list[Array]) -> Any:
    """Build a layer over one cell, or a cell, with these weights."""
    cell = getattr(layer, "cell", layer)
    features = weights[0].shape[0]
    layer.build((None, features) if cell is layer else (None, None, features))
    cell.set_weights(weights)
    return layer


def by_hand(start: float = 0.0, bias: float = -30.0, **kwargs: Any) -> Any:
    """Two outputs, a hidden state that lives, and one that `bias` holds off."""
    network = recurrence(4, 0.5, seed=7)
    matrix, kernel = network.recurrent_matrix, network.kernel.copy()
    kernel[:, 3] = 1.0
    biases = np.array([0.5, 0.5, 0.5, bias])
    cell = ku.ContractiveRNNCell(
        4, output_units=2, learn_initial_state=True, name="by-hand", **kwargs
    )
    return with_weights(cell, [kernel, matrix, biases, np.array([0, 0, 0, start])])


# What is proved of one recurrence.


@settings(max_examples=40)
@given(st.integers(1, 8), norms, seeds, st.sampled_from(["float32", "float64"]))
def test_no_input_takes_a_state_beyond_its_margin(
    n: int, norm: float, seed: int, dtype: str
) -> None:
    network = half_dead(n, norm, seed, dtype)
    off = prove_inactive(network, ENTERING, None)
    x = inputs(network, 60, seed).astype(dtype)
    found = states(network, x)
    start = np.broadcast_to(network.initial_state, found[:, :1].shape).astype(dtype)
    before = np.concatenate([start, found[:, :-1]], axis=1)
    kernel, matrix = (
        network.kernel.astype(dtype),
        network.recurrent_matrix.astype(dtype),
    )
    z = before @ matrix + (x @ kernel + network.bias.astype(dtype))
    assert np.all(found[..., off.states] == 0.0)
    assert np.all(z[..., off.states] <= off.suprema[off.states])
    assert off.is_bounded
    assert np.all((off.box.lower <= found) & (found <= off.box.upper))


@settings(max_examples=40)
@given(st.integers(1, 6), norms, seeds)
def test_the_set_is_the_largest_of_all_that_hold(
    n: int, norm: float, seed: int
) -> None:
    network = half_dead(n, norm, seed)
    union = np.zeros(n, dtype=bool)
    arguments = ENTERING, None, network.rest
    for chosen in itertools.product([False, True], repeat=n):
        off = np.array(chosen)
        suprema = _with_these_off(network, off, *arguments).suprema
        if np.all((suprema <= 0.0) & (network.initial_state == 0.0), where=off):
            union |= off
    found = prove_inactive(network, ENTERING, None).states
    np.testing.assert_array_equal(found, union)


def test_the_networks_have_dead_and_living_states() -> None:
    proved = [prove_inactive(half_dead(6, 0.9, s), ENTERING, None) for s in range(30)]
    counts = [int(found.states.sum()) for found in proved]
    assert min(counts) <= 1
    assert max(counts) >= 4


def test_states_that_only_excite_each_other_are_off_together() -> None:
    network = Recurrence(
        kernel=np.array([[1.0, 0.0, 0.0]]),
        recurrent_matrix=np.array([[0.5, 0.0, 0.0], [0.0, 0.0, 0.9], [0.0, 0.9, 0.0]]),
        bias=np.array([1.0, 0.0, -0.0]),
        initial_state=np.zeros(3),
        dtype="float32",
        stored_dtype="float32",
    )
    found = prove_inactive(network, symmetric([1.0]), None)
    assert found.states.tolist() == [False, True, True]
    assert found.suprema[1:].tolist() == [0.0, 0.0]
    # One of them on for a moment, and neither is at rest.
    started = dataclasses.replace(network, initial_state=np.array([0.0, 1.0, 0.0]))
    assert not prove_inactive(started, symmetric([1.0]), None).states.any()


@pytest.mark.parametrize("entering", [ENTERING, None], ids=["bounded", "unbounded"])
def test_what_is_never_pushed_up_needs_no_bound(entering: Any) -> None:
    network = dataclasses.replace(
        recurrence(3, 1.0, seed=4),
        recurrent_matrix=np.array([[1.0, 0, -1.0], [0, 1.0, 0], [0, 0, 1.0]]),
        initial_state=np.zeros(3),
        bias=np.array([1.0, 1.0, -1e-3]),
    )
    network.kernel[:, 2] = 0.0
    found = prove_inactive(network, entering, None)
    assert found.states.tolist() == [False, False, True]
    assert found.suprema[2] == pytest.approx(-1e-3)
    assert not found.is_bounded
    # A start below 0 pushes it up at the first step.
    started = dataclasses.replace(network, initial_state=np.array([-1.0, 0.0, 0.0]))
    assert not prove_inactive(started, entering, None).states.any()


@pytest.mark.parametrize(("dtype", "held"), [("float64", True), ("float32", False)])
def test_rounding_counts_as_reach(dtype: str, held: bool) -> None:
    # -6.001 holds off 3 inputs of 2, but not in TF32, which keeps 10 bits.
    network = Recurrence(
        kernel=np.ones((FEATURES, 1)),
        recurrent_matrix=np.zeros((1, 1)),
        bias=np.array([-6.001]),
        initial_state=np.zeros(1),
        dtype=dtype,
        stored_dtype=dtype,
    )
    assert prove_inactive(network, ENTERING, None).states.tolist() == [held]


def test_a_bias_that_the_compute_dtype_moves_up_counts_as_moved() -> None:
    # In bfloat16, -1.002 is -1: just not enough against a state that reaches 1.
    network = Recurrence(
        kernel=np.array([[1.0, 0.0]]),
        recurrent_matrix=np.array([[0.0, 1.0], [0.0, 0.0]]),
        bias=np.array([0.0, -1.002]),
        initial_state=np.zeros(2),
        dtype="float64",
        stored_dtype="float64",
    )
    low = dataclasses.replace(
        network, recurrent_matrix=np.zeros((2, 2)), dtype="bfloat16"
    )
    assert prove_inactive(network, symmetric([1.0]), 1).states.tolist() == [False, True]
    assert prove_inactive(low, symmetric([1.0]), None).suprema[1] == -1.0


@settings(max_examples=100)
@given(
    st.integers(1, 12),
    norms,
    seeds,
    st.sampled_from(["float32", "float64", "bfloat16"]),
)
def test_what_the_conversion_adds_is_found(
    n: int, norm: float, seed: int, dtype: str
) -> None:
    network = recurrence(n, norm, seed, "float32" if dtype == "bfloat16" else dtype)
    network = dataclasses.replace(network, dtype=dtype)
    new = dilated_weights(network, ENTERING, None)
    larger = dataclasses.replace(network, **vars(new))
    found = prove_inactive(larger, ENTERING, None)
    assert len(new.bias) == 2 * n
    assert np.all(found.states[n:])
    corner = restricted(larger, np.arange(n))
    for name in ("kernel", "recurrent_matrix", "bias", "initial_state"):
        np.testing.assert_array_equal(getattr(corner, name), getattr(network, name))


@settings(max_examples=50)
@given(st.integers(2, 12), st.sampled_from([0.5, 1.0]), seeds, st.integers(1, 40))
def test_what_the_conversion_adds_is_found_with_its_horizon(
    n: int, norm: float, seed: int, horizon: int
) -> None:
    network = recurrence(n, norm, seed)
    new = dilated_weights(network, ENTERING, horizon)
    larger = dataclasses.replace(network, **vars(new))
    assert np.all(prove_inactive(larger, ENTERING, horizon).states[n:])


# The cells and layers that come out.


# JAX compiles the projections anew for each size: few of them here, all of them above.
@pytest.mark.parametrize("variant", ["plain", "learned", "no-bias", "both"])
@pytest.mark.parametrize("norm", [0.0, 0.999])
def test_pruning_undoes_the_conversion(norm: float, variant: str) -> None:
    n = 5
    learned, bias = variant in ("learned", "both"), variant not in ("no-bias", "both")
    cell = ku.ContractiveRNNCell(n, use_bias=bias, learn_initial_state=learned)
    build(cell, norm)
    converted = to_unitary(cell, input_bound=BOUND)
    assert converted.units == 2 * n
    back = prune_inactive(converted, input_bound=BOUND)
    assert type(back) is ku.ContractiveRNNCell
    assert (back.units, back.output_units, back.max_norm) == (n, None, 1.0)
    weights = cell.get_weights()
    # The conversion gave it a bias.
    expected = weights if bias else [*weights[:2], np.zeros(n), *weights[2:]]
    assert len(expected) == len(back.get_weights())
    for one, other in zip(expected, back.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    projected = back.recurrent_kernel.constraint(back.recurrent_kernel)
    np.testing.assert_array_equal(to_numpy(projected), to_numpy(back.recurrent_kernel))


@pytest.mark.parametrize("policy", ["float64", "mixed_bfloat16", "float16"])
def test_pruning_undoes_the_conversion_in_every_precision(policy: str) -> None:
    with precision(policy):
        cell = build(ku.ContractiveRNNCell(5, learn_initial_state=True))
        back = prune_inactive(to_unitary(cell, input_bound=BOUND), input_bound=BOUND)
        assert back.dtype_policy == cell.dtype_policy
        for one, other in zip(cell.weights, back.weights, strict=True):
            np.testing.assert_array_equal(to_numpy(one), to_numpy(other))


@pytest.mark.parametrize("make", SOURCES.values(), ids=SOURCES)
def test_every_kind_of_layer_comes_back(make: Any) -> None:
    layer = build(make(5, return_sequences=True, go_backwards=True, name="here"))
    converted = to_unitary(layer, input_bound=BOUND)
    back = prune_inactive(converted, input_bound=BOUND)
    single = type(layer) is L.RNN
    assert type(back) is (L.RNN if single else ku.ContractiveRNN)
    assert type(back.cell) is ku.ContractiveRNNCell
    assert (back.name, back.return_sequences, back.go_backwards) == ("here", True, True)
    for one, other in zip(layer.get_weights(), back.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    x = inputs(recurrence(5, 0.9, 1), 20, seed=3).astype("float32")
    # Sums of the same 5 terms, and of 5 more that are 0.
    scale = np.abs(run(layer, x)).max()
    assert np.abs(run(back, x) - run(converted, x)).max() <= 1e-6 * scale
    again = to_unitary(back, input_bound=BOUND)
    for one, other in zip(converted.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    report = ku.verify_equivalence(
        back, converted, input_bound=BOUND, steps=50, batch_size=2, search=False
    )
    assert report.equivalent, report


def test_hidden_states_of_the_original_stay_hidden() -> None:
    layer = build(ku.ContractiveRNN(5, output_units=2, max_norm=0.95))
    back = prune_inactive(to_unitary(layer, input_bound=BOUND), input_bound=BOUND)
    assert (back.units, back.output_units) == (5, 2)
    for one, other in zip(layer.get_weights(), back.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_resting_state_comes_back() -> None:
    start = [1.0, -2.0, 0.5, 0.0, 3.0]
    layer = build(ku.ContractiveRNN(5, resting_state=start))
    converted = to_unitary(layer, input_bound=BOUND)
    assert converted.resting_state == start + 5 * [0.0]
    back = prune_inactive(converted, input_bound=BOUND)
    assert back.resting_state == layer.resting_state
    for one, other in zip(layer.get_weights(), back.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def stack() -> Any:
    return L.RNN([ku.ContractiveRNNCell(5), L.SimpleRNNCell(5, "relu")], name="stack")


def bidirectional() -> Any:
    return L.Bidirectional(
        ku.ContractiveRNN(5, return_sequences=True), merge_mode="sum", name="two-way"
    )


NAMES = {
    "stack": (stack, ["stack/contractive_rnn_cell", "stack/simple_rnn_cell"]),
    "bidirectional": (bidirectional, ["forward_", "backward_"]),
}


@pytest.mark.parametrize(("make", "names"), NAMES.values(), ids=NAMES)
def test_several_cells_come_back(make: Callable[[], Any], names: list[str]) -> None:
    layer = make()
    layer.build((None, None, FEATURES))
    for seed, cell in enumerate(cells_of(layer)):
        network = recurrence(cell.units, 0.9, seed)
        kernel = network.kernel[np.arange(cell.kernel.shape[0]) % FEATURES]
        cell.set_weights([kernel, network.recurrent_matrix, network.bias])
    converted = to_unitary(layer, input_bound=BOUND)
    found = inactive_states(converted, input_bound=BOUND)
    assert [len(cell.removable) for cell in found] == [c.units for c in cells_of(layer)]
    for cell, name in zip(found, names, strict=True):
        assert cell.name.startswith(name.split("/")[0])
    back = prune_inactive(converted, input_bound=BOUND)
    assert type(back) is type(layer)
    assert back.get_config().get("merge_mode") == layer.get_config().get("merge_mode")
    assert len(layer.weights) == len(back.weights)
    for one, other in zip(layer.get_weights(), back.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_next_cell_of_a_stack_sees_all_that_leaves_the_first() -> None:
    # The first rests at 2, and the second's last state sees that less 1.9.
    first, second = L.SimpleRNNCell(1, "relu"), ku.ContractiveRNNCell(2, output_units=1)
    layer = L.RNN([first, second])
    layer.build((None, None, 1))
    first.set_weights([np.ones((1, 1)), np.full((1, 1), 0.5), np.zeros(1)])
    weights = [np.ones((1, 2)), np.zeros((2, 2)), np.array([0.0, -1.9])]
    second.set_weights(weights)
    assert inactive_states(layer, input_bound=1.0)[1].indices == ()
    second.set_weights([*weights[:2], np.array([0.0, -2.1])])
    assert inactive_states(layer, input_bound=1.0)[1].removable == (1,)
    # At norm 1 the first may grow for ever: nothing is known of what leaves it.
    first.recurrent_kernel.assign([[1.0]])
    found = inactive_states(layer, input_bound=1.0)
    assert [cell.bounded for cell in found] == [False, False]
    assert found[1].indices == ()
    assert inactive_states(layer, input_bound=1.0, horizon=2)[1].removable == (1,)


def test_a_stateful_layer_keeps_its_batch_size() -> None:
    layer = build(ku.ContractiveRNN(5, stateful=True), batch=2)
    back = prune_inactive(to_unitary(layer, input_bound=BOUND), input_bound=BOUND)
    assert [tuple(state.shape) for state in back.states] == [(2, 5)]


@pytest.mark.parametrize("activation", ["relu", "sparse_plus"])
def test_a_norm_that_rounding_kept_below_1_gives_no_bound_for_ever(
    activation: str,
) -> None:
    network = dataclasses.replace(
        recurrence(2, 0.5, 1, "float32", activation=activation),
        recurrent_matrix=np.diag([1.0 - 2.0**-25, 0.5]),
    )
    assert network.norm < 1.0
    assert not prove_inactive(network, ENTERING, None).is_bounded


def test_norm_1_comes_back_with_its_horizon_only() -> None:
    cell = build(L.SimpleRNNCell(5, "relu"))
    # Symmetric: the spectral radius is 1, and no scale makes the norm smaller.
    q, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(5, 5)))
    cell.recurrent_kernel.assign((q * [1.0, 0.5, 0.4, 0.3, 0.2]) @ q.T)
    converted = to_unitary(cell, input_bound=BOUND, horizon=20)
    assert converted.units == 9
    without = prune_inactive(converted, input_bound=BOUND)
    assert type(without) is ku.UnitaryRNNCell
    assert without.units == converted.units
    (found,) = report = inactive_states(converted, input_bound=BOUND)
    assert not found.bounded
    assert "as `horizon`" in str(report)
    back = prune_inactive(converted, input_bound=BOUND, horizon=20)
    assert type(back) is ku.ContractiveRNNCell
    for one, other in zip(cell.get_weights(), back.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    projected = back.recurrent_kernel.constraint(back.recurrent_kernel)
    np.testing.assert_array_equal(to_numpy(projected), to_numpy(back.recurrent_kernel))


def test_the_projection_leaves_a_corner_with_many_1s_as_it_is() -> None:
    n = 48
    q, _ = np.linalg.qr(np.random.default_rng(n).normal(size=(n, n)))
    p, _ = np.linalg.qr(np.random.default_rng(n + 1).normal(size=(n, n)))
    sigma = np.where(np.arange(n) < n - 2, 1.0, 0.5)
    weights = [np.ones((1, n)), (q * sigma) @ p.T, np.zeros(n)]
    cell = with_weights(L.SimpleRNNCell(n, "relu"), weights)
    converted = to_unitary(cell, input_bound=1.0, horizon=3)
    assert converted.units == n + 2
    back = prune_inactive(converted, input_bound=1.0, horizon=3)
    projected = back.recurrent_kernel.constraint(back.recurrent_kernel)
    np.testing.assert_array_equal(to_numpy(projected), to_numpy(back.recurrent_kernel))


def test_what_is_still_orthogonal_stays_unitary() -> None:
    matrix = np.eye(5)
    matrix[:3, :3] = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    matrix[3:, 3:] = [[0.6, 0.8], [-0.8, 0.6]]
    bias = np.array([0.1, 0.2, 0.3, -9.0, -9.0])
    kernel = np.ones((FEATURES, 5))
    layer = ku.UnitaryRNN(5, output_units=2, return_sequences=True)
    with_weights(layer, [kernel, matrix, bias])
    back = prune_inactive(layer, input_bound=BOUND)
    assert type(back) is ku.UnitaryRNN
    assert (back.units, back.output_units) == (3, 2)
    x = inputs(recurrence(3, 1.0, 1), 20, seed=3).astype("float32")
    # 20 steps of a norm that is kept, each rounding numbers of about 10.
    np.testing.assert_allclose(run(back, x), run(layer, x), rtol=0, atol=5e-5)
    assert np.abs(run(layer, x)).max() > 1.0


def test_dead_states_are_taken_out_of_a_contractive_cell() -> None:
    cell = by_hand(max_norm=0.7)
    back = prune_inactive(cell, input_bound=BOUND)
    assert type(back) is ku.ContractiveRNNCell
    assert (back.units, back.output_units, back.max_norm) == (3, 2, 0.7)
    K, R, b, start = cell.get_weights()
    for one, other in zip(
        [K[:, :3], R[:3, :3], b[:3], start[:3]], back.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(one, other)
    assert back.name == "by-hand"


def test_the_report_names_states_and_margins() -> None:
    (found,) = report = inactive_states(by_hand(), input_bound=BOUND)
    assert (found.name, found.units, found.output_units) == ("by-hand", 4, 2)
    assert found.indices == found.removable == (3,)
    assert found.bounded
    # By hand: 30 less 3 inputs of 2, less what the others send.
    assert 0.0 < found.margins[0] < 24.0
    lines = str(report).splitlines()
    assert len(lines) == 2
    assert lines[1].split() == ["by-hand", "4", "1", "1", f"{found.margins[0]:.3g}"]


def test_inactive_outputs_are_reported_and_kept() -> None:
    cell = by_hand()
    cell.bias.assign([-30.0, 0.5, 0.5, -30.0])
    (found,) = inactive_states(cell, input_bound=BOUND)
    assert found.indices == (0, 3)
    assert found.removable == (3,)
    assert prune_inactive(cell, input_bound=BOUND).units == 3


@pytest.mark.parametrize("bias", [-1e3, 1e3], ids=["dead", "living"])
def test_a_cell_that_outputs_all_states_is_copied(bias: float) -> None:
    layer = build(L.SimpleRNN(3, "relu", seed=5, dropout=0.5))
    layer.cell.bias.assign(np.full(3, bias))
    (found,) = inactive_states(layer, input_bound=BOUND)
    assert len(found.indices) == (3 if bias < 0.0 else 0)
    copy = prune_inactive(layer, input_bound=BOUND)
    assert copy is not layer
    assert type(copy) is L.SimpleRNN
    assert (copy.name, copy.cell.seed, copy.dropout) == (layer.name, 5, 0.5)
    for one, other in zip(layer.get_weights(), copy.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_original_is_left_alone() -> None:
    cell = by_hand()
    before, config = cell.get_weights(), cell.get_config()
    prune_inactive(cell, input_bound=BOUND)
    assert cell.get_config() == config
    for one, other in zip(before, cell.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


# What must not be taken out.


@pytest.mark.parametrize(("bias", "units"), [(-5.9, 4), (-6.1, 3)])
def test_a_state_that_only_a_corner_switches_on_is_kept(
    bias: float, units: int
) -> None:
    cell = by_hand(bias=bias)
    matrix = to_numpy(cell.recurrent_kernel)
    matrix[:, 3] = 0.0
    cell.recurrent_kernel.assign(matrix)
    assert prune_inactive(cell, input_bound=BOUND).units == units
    corner = np.full((1, FEATURES), BOUND, "float32")
    _, (_, hidden) = cell(corner, [np.zeros((1, 2)), np.zeros((1, 2))])
    assert (to_numpy(hidden)[0, 1] > 0.0) == (units == 4)


@pytest.mark.parametrize("start", [0.5, -0.5, 1e-30])
def test_a_state_that_does_not_start_at_rest_is_kept(start: float) -> None:
    assert prune_inactive(by_hand(start=start), input_bound=BOUND).units == 4
    assert prune_inactive(by_hand(start=-0.0), input_bound=BOUND).units == 3


@pytest.mark.parametrize("raised", [0.99, 0.0, -1.0])
def test_raising_the_bias_of_an_added_state_keeps_it(raised: float) -> None:
    n = 5
    cell = build(ku.ContractiveRNNCell(n))
    cell.bias.assign(np.ones(n))
    converted = to_unitary(cell, input_bound=BOUND)
    (found,) = inactive_states(converted, input_bound=BOUND)
    assert found.removable == tuple(range(n, 2 * n))
    assert max(found.margins) < 0.05
    bias = to_numpy(converted.bias)
    strongest = int(np.argmin(bias))
    bias[strongest] *= raised
    converted.bias.assign(bias)
    (found,) = inactive_states(converted, input_bound=BOUND)
    assert strongest not in found.indices
    assert n < prune_inactive(converted, input_bound=BOUND).units <= 2 * n


def test_a_larger_bound_keeps_what_it_may_switch_on() -> None:
    cell = by_hand()
    assert prune_inactive(cell, input_bound=BOUND).units == 3
    assert prune_inactive(cell, input_bound=10.0 * BOUND).units == 4


def expansive() -> Any:
    matrix = np.diag([1.5, 1.0, 1.0])
    bias = np.array([0.0, 0.0, -9.0])
    cell = ku.UnitaryRNNCell(3, output_units=2, name="off")
    return with_weights(cell, [np.ones((FEATURES, 3)), matrix, bias])


REFUSED: dict[str, tuple[Callable[[], Any], list[str]]] = {
    "dense": (lambda: L.Dense(2), ["Dense", "a recurrent cell, layer or model"]),
    "number": (lambda: 3, ["int", "a recurrent cell, layer or model"]),
    "lstm": (lambda: L.LSTM(2), ["LSTM"]),
    "lstm-cell": (lambda: L.RNN(L.LSTMCell(2)), ["LSTMCell", "Gated cells"]),
    "lstms": (lambda: L.Bidirectional(L.LSTM(2)), ["forward_lstm", "LSTM"]),
    "tanh": (
        lambda: build(ku.UnitaryRNN(2, "tanh")),
        ["activation tanh", "half-line", "smooth"],
    ),
    "dropout": (
        lambda: build(ku.UnitaryRNN(2, recurrent_dropout=0.5)),
        ["recurrent dropout", "`recurrent_dropout=0`"],
    ),
    "unbuilt": (lambda: ku.UnitaryRNN(2), ["built", "call it on data"]),
    "nan": (lambda: by_hand(bias=np.nan), ["finite weights", "NaN or Inf"]),
}


@pytest.mark.parametrize("function", [inactive_states, prune_inactive])
@pytest.mark.parametrize(("make", "words"), REFUSED.values(), ids=REFUSED)
def test_a_target_is_refused(
    make: Callable[[], Any], words: list[str], function: Any
) -> None:
    with pytest.raises(ValueError, match="`target` must be") as caught:
        function(make(), input_bound=1.0)
    for word in words:
        assert word in str(caught.value)


def test_what_only_says_that_it_is_unitary_is_refused() -> None:
    message = r"off: a recurrent matrix that keeps spectral norm 1\.5.*constraint"
    with pytest.raises(ValueError, match=message):
        prune_inactive(expansive(), input_bound=BOUND)


@pytest.mark.parametrize("function", [inactive_states, prune_inactive])
def test_arguments_are_checked(function: Any) -> None:
    with pytest.raises(ValueError, match="`input_bound` must be a positive"):
        function(by_hand(), input_bound=None)
    with pytest.raises(ValueError, match="an array of 3 numbers"):
        function(by_hand(), input_bound=[1.0, 2.0])
    with pytest.raises(ValueError, match="`horizon` must be a positive integer"):
        function(by_hand(), input_bound=1.0, horizon=0)
