"""A cell or a layer and its conversion give the same outputs, the added states 0."""

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
from tests.equivalence.layers import SOURCES, STEPS, build, full_states, run
from tests.equivalence.networks import (
    BOUND,
    BOUNDED,
    FEATURES,
    activations,
    centring,
    difference,
    inputs,
    learns,
    norms,
    recurrence,
    seeds,
    sizes,
    states,
)
from tests.helpers import precision, to_numpy

ENTERING = symmetric(np.full(FEATURES, BOUND))
RELATIVE = {"float32": 1e-6, "float64": 1e-12}


@settings(deadline=None, max_examples=120)
@given(
    n=sizes,
    norm=norms,
    seed=seeds,
    activation=activations,
    dtype=st.sampled_from(["float32", "float64"]),
    learned=learns,
    centred=centring,
)
def test_every_network_has_its_unitary_equivalent(
    n: int,
    norm: float,
    seed: int,
    activation: str,
    dtype: str,
    learned: bool,
    centred: bool,
) -> None:
    kind = {"activation": activation, "learned": learned, "centred": centred}
    network = recurrence(n, norm, seed, dtype, **kind)
    new = dilated_weights(network, ENTERING, None)
    U = new.recurrent_matrix
    assert len(U) == 2 * n
    assert np.abs(U.T @ U - np.eye(2 * n)).max() <= RELATIVE[dtype]
    np.testing.assert_array_equal(U[:n, :n], network.recurrent_matrix)
    x = inputs(network, 100, seed).astype(dtype)
    expected = states(network, x, activation)
    found = states(new, x, activation)
    rest = -1.0 if activation == "hard_tanh" else 0.0
    assert np.all(found[..., n:] == rest)
    assert np.all(new.initial_state[n:] == rest)
    assert np.all(new.resting_state[n:] == rest)
    np.testing.assert_array_equal(new.bias[:n], network.bias)
    # Ten roundings a step at most, remembered for up to 100 steps.
    assert difference(expected, found[..., :n]) <= 1e3 * np.finfo(dtype).eps


@settings(deadline=None, max_examples=60)
@given(sizes, seeds, st.integers(1, 40), activations)
def test_norm_1_is_converted_up_to_a_horizon(
    n: int, seed: int, horizon: int, activation: str
) -> None:
    network = recurrence(n, 1.0, seed, activation=activation)
    new = dilated_weights(network, ENTERING, horizon)
    assert n <= len(new.bias) < 2 * n + (n == 1)
    found = states(new, inputs(network, horizon, seed), activation)
    assert np.all(found[..., n:] == (-1.0 if activation == "hard_tanh" else 0.0))


@settings(deadline=None, max_examples=40)
@given(sizes, seeds, st.sampled_from(BOUNDED))
def test_norm_1_is_converted_for_ever_where_the_activation_is_bounded(
    n: int, seed: int, activation: str
) -> None:
    network = recurrence(n, 1.0, seed, activation=activation)
    new = dilated_weights(network, ENTERING, None)
    assert np.all(np.abs(new.bias) < 1e3)
    found = states(new, inputs(network, 200, seed), activation)
    assert np.all(found[..., n:] == (-1.0 if activation == "hard_tanh" else 0.0))


@pytest.mark.parametrize("norm", [0.1, 0.9, 0.999])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_outputs_are_the_same_over_1000_steps(norm: float, dtype: str) -> None:
    with precision(dtype):
        layer = ku.ContractiveRNN(
            6, return_sequences=True, learn_initial_state=True, seed=1
        )
        build(layer, norm)
        network = recurrence(6, norm, 1, dtype)
        converted = to_unitary(layer, input_bound=BOUND)
        x = inputs(network, STEPS, seed=2).astype(dtype)
        expected, found = run(layer, x), run(converted, x)
        added = full_states(converted, x)[..., 6:]
        error = ku.diagnostics.unitarity_error(converted)
    assert difference(expected, found) <= RELATIVE[dtype]
    # The loop's own rounding, and NumPy's order of summation, remembered.
    assert (
        difference(states(network, x.astype("float64")), found) <= 30 * RELATIVE[dtype]
    )
    assert np.all(added == 0.0)
    assert error <= RELATIVE[dtype]


@pytest.mark.each_backend
@pytest.mark.parametrize("make", SOURCES.values(), ids=SOURCES)
def test_every_kind_of_layer_is_converted(make: Any) -> None:
    layer = build(make(5, return_sequences=True, name="here"))
    converted = to_unitary(layer, input_bound=BOUND)
    assert type(converted.cell) is ku.UnitaryRNNCell
    assert (converted.cell.units, converted.cell.output_units) == (10, 5)
    assert converted.name == "here"
    x = inputs(recurrence(5, 0.9, 1), 20, seed=3).astype("float32")
    assert difference(run(layer, x), run(converted, x)) <= 1e-6
    assert np.all(full_states(converted, x)[..., 5:] == 0.0)


@pytest.mark.parametrize("kind", ["contractive", "simple"])
def test_a_cell_becomes_a_cell(kind: str) -> None:
    make: Any = {
        "contractive": ku.ContractiveRNNCell,
        "simple": lambda n: keras.layers.SimpleRNNCell(n, "relu"),
    }[kind]
    cell = build(make(4))
    converted = to_unitary(cell, input_bound=BOUND)
    assert type(converted) is ku.UnitaryRNNCell
    x = np.ones((2, FEATURES), "float32")
    expected, _ = cell(x, [np.ones((2, 4), "float32")])
    zeros = np.zeros((2, 4), "float32")
    found, (_, added) = converted(x, [np.ones((2, 4), "float32"), zeros])
    assert difference(to_numpy(expected), to_numpy(found)) <= 1e-6
    assert not to_numpy(added).any()


def test_the_weights_are_those_of_the_theorem() -> None:
    layer = build(ku.ContractiveRNN(4, learn_initial_state=True))
    converted = to_unitary(layer, input_bound=BOUND)
    K, R, b, start = (to_numpy(w) for w in layer.weights)
    K2, U, b2, start2 = (to_numpy(w) for w in converted.weights)
    np.testing.assert_array_equal(U[:4, :4], R)
    np.testing.assert_array_equal(K2, np.pad(K, ((0, 0), (0, 4))))
    np.testing.assert_array_equal(b2[:4], b)
    np.testing.assert_array_equal(start2, np.pad(start, (0, 4)))
    assert np.all(b2[4:] < 0.0)
    assert start.min() < 0.0


@pytest.mark.parametrize("learned", [False, True])
@pytest.mark.parametrize("activation", ["relu", "hard_tanh"])
def test_a_resting_state_is_kept(activation: str, learned: bool) -> None:
    start, rest = [1.0, -2.0, 0.1, 3.0], {"relu": 0.0, "hard_tanh": -1.0}[activation]
    arguments = {"learn_initial_state": learned, "return_sequences": True}
    layer = build(ku.ContractiveRNN(4, activation, resting_state=start, **arguments))
    converted = to_unitary(layer, input_bound=BOUND)
    assert converted.resting_state == start + 4 * [rest]
    x = inputs(recurrence(4, 0.9, 1), 20, seed=3).astype("float32")
    assert difference(run(layer, x), run(converted, x)) <= 1e-6
    assert verify_equivalence(
        layer, converted, input_bound=BOUND, search=False
    ).equivalent


def test_the_original_is_left_alone() -> None:
    layer = build(ku.ContractiveRNN(4))
    before, config = layer.get_weights(), layer.get_config()
    to_unitary(layer, input_bound=BOUND)
    for old, new in zip(before, layer.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert layer.get_config() == config


ARGUMENTS: dict[str, Any] = {
    "name": "another",
    "trainable": False,
    "dropout": 0.25,
    "seed": 3,
    "return_sequences": True,
    "return_state": True,
    "go_backwards": True,
    "unroll": True,
    "zero_output_for_mask": True,
    "kernel_initializer": keras.initializers.HeNormal,
    "kernel_regularizer": keras.regularizers.L2,
    "kernel_constraint": keras.constraints.NonNeg,
    "activity_regularizer": keras.regularizers.L1,
}


@pytest.mark.parametrize("kind", ["contractive", "simple"])
@pytest.mark.parametrize("argument", ARGUMENTS)
def test_the_arguments_are_kept(kind: str, argument: str) -> None:
    value = ARGUMENTS[argument]
    value = value() if isinstance(value, type) else value
    layer = build(SOURCES[kind](2, **{argument: value}))
    converted = to_unitary(layer, input_bound=BOUND)
    kept = layer.get_config().get(argument, value)  # SimpleRNN leaves the seed out
    assert converted.get_config()[argument] == kept
    assert converted.get_config()["output_units"] == 2


def test_regularizers_that_would_count_the_added_states_are_left_out() -> None:
    layer = build(
        keras.layers.SimpleRNN(
            2,
            "relu",
            recurrent_regularizer="l2",
            bias_regularizer="l2",
            bias_constraint="non_neg",
            recurrent_constraint=ku.ContractiveProjection(),
        )
    )
    config = to_unitary(layer, input_bound=BOUND).get_config()
    for name in ("recurrent_regularizer", "bias_regularizer", "bias_constraint"):
        assert config[name] is None


def test_a_layer_without_a_bias_gets_one() -> None:
    layer = build(ku.ContractiveRNN(3, use_bias=False, return_sequences=True))
    converted = to_unitary(layer, input_bound=BOUND)
    assert not to_numpy(converted.cell.bias)[:3].any()
    x = inputs(recurrence(3, 0.9, 1), 10, seed=3).astype("float32")
    assert difference(run(layer, x), run(converted, x)) <= 1e-6


def test_part_of_the_states_stays_the_output() -> None:
    layer = build(ku.ContractiveRNN(4, output_units=2, return_sequences=True))
    converted = to_unitary(layer, input_bound=BOUND)
    assert (converted.units, converted.output_units) == (8, 2)
    x = inputs(recurrence(4, 0.9, 1), 10, seed=3).astype("float32")
    assert difference(run(layer, x), run(converted, x)) <= 1e-6


def test_a_stack_of_cells_is_converted_one_by_one() -> None:
    cells = [ku.ContractiveRNNCell(3), keras.layers.SimpleRNNCell(2, "relu")]
    layer = keras.layers.RNN(cells, return_sequences=True)
    layer.build((None, None, FEATURES))
    cells[1].recurrent_kernel.assign(0.5 * np.eye(2))
    converted = to_unitary(layer, input_bound=BOUND)
    assert [cell.units for cell in converted.cell.cells] == [6, 4]
    x = inputs(recurrence(3, 0.9, 1), 30, seed=3).astype("float32")
    assert difference(run(layer, x), run(converted, x)) <= 1e-6


def test_masks_states_and_a_given_state_work_as_before() -> None:
    layer = build(ku.ContractiveRNN(3, return_sequences=True, return_state=True))
    converted = to_unitary(layer, input_bound=BOUND)
    x = inputs(recurrence(3, 0.9, 1), 6, seed=3)[:4].astype("float32")
    mask = np.array([[True, False, True, True, False, True]] * 4)
    start = np.ones((4, 3), "float32")
    expected, last = layer(x, mask=mask, initial_state=start)
    found, new_last, added = converted(x, mask=mask, initial_state=start)
    assert difference(to_numpy(expected), to_numpy(found)) <= 1e-6
    assert difference(to_numpy(last), to_numpy(new_last)) <= 1e-6
    assert not to_numpy(added).any()


def test_a_stateful_layer_goes_on_from_its_state() -> None:
    layer = build(
        ku.ContractiveRNN(3, stateful=True, learn_initial_state=True), batch=4
    )
    converted = to_unitary(layer, input_bound=BOUND)
    layer.reset_state()
    converted.reset_state()
    x = inputs(recurrence(3, 0.9, 1), 6, seed=3)[:4].astype("float32")
    for _ in range(3):
        expected, found = layer(x), converted(x)
    assert difference(to_numpy(expected), to_numpy(found)) <= 1e-6
    assert not to_numpy(converted.states[1]).any()


@pytest.mark.parametrize("merge_mode", ["concat", "sum", None])
def test_both_directions_are_converted(merge_mode: str | None) -> None:
    layer = keras.layers.Bidirectional(
        ku.ContractiveRNN(3, max_norm=0.9, return_sequences=True),
        merge_mode=merge_mode,
        name="both",
    )
    layer.build((None, None, FEATURES))
    converted = to_unitary(layer, input_bound=BOUND)
    assert converted.name == "both"
    assert converted.forward_layer.units == converted.backward_layer.units == 6
    x = inputs(recurrence(3, 0.9, 1), 6, seed=3)[:4].astype("float32")
    pairs = zip(
        keras.tree.flatten(layer(x)), keras.tree.flatten(converted(x)), strict=True
    )
    assert max(difference(to_numpy(a), to_numpy(b)) for a, b in pairs) <= 1e-6


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_what_is_unitary_already_is_copied(activation: str) -> None:
    layer = ku.UnitaryRNN(3, activation, learn_initial_state=True, name="copied")
    layer.build((None, None, FEATURES))
    converted = to_unitary(layer, input_bound=BOUND)
    assert converted is not layer
    assert converted.get_config() == layer.get_config()
    for old, new in zip(layer.get_weights(), converted.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_a_stack_of_unitary_cells_is_copied_at_any_length() -> None:
    # The first one's states may grow for ever; the second is copied all the same.
    layer = keras.layers.RNN([ku.UnitaryRNNCell(3), ku.UnitaryRNNCell(2)])
    layer.build((None, None, FEATURES))
    converted = to_unitary(layer, input_bound=BOUND)
    x = inputs(recurrence(3, 0.9, 1), 20, seed=3).astype("float32")
    np.testing.assert_array_equal(run(layer, x), run(converted, x))


def test_an_orthogonal_layer_needs_a_horizon_and_no_added_state() -> None:
    layer = keras.layers.SimpleRNN(4, "relu", return_sequences=True)
    layer.build((None, None, FEATURES))
    converted = to_unitary(layer, input_bound=BOUND, horizon=20)
    assert (converted.units, converted.output_units) == (4, None)
    x = inputs(recurrence(4, 0.9, 1), 20, seed=3).astype("float32")
    assert difference(run(layer, x), run(converted, x)) <= 1e-6


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_added_states_stay_off_in_half_precision(policy: str) -> None:
    with precision(policy):
        layer = build(ku.ContractiveRNN(4, return_sequences=True), norm=0.9)
        converted = to_unitary(layer, input_bound=BOUND)
        x = inputs(recurrence(4, 0.9, 1), 50, seed=3).astype("float32")
        assert np.all(full_states(converted, x)[..., 4:] == 0.0)
        # A unit of rounding of the largest value, remembered for ten steps.
        assert difference(run(layer, x), run(converted, x)) <= 0.08
    assert converted.dtype_policy.name == policy


def test_a_per_feature_bound_gives_smaller_biases() -> None:
    layer = build(ku.ContractiveRNN(3))
    loose = to_unitary(layer, input_bound=2.0)
    tight = to_unitary(layer, input_bound=[2.0, 0.1, 0.1])
    biases = [to_numpy(new.cell.bias)[3:] for new in (loose, tight)]
    assert np.all(biases[1] >= biases[0])
    assert np.any(biases[1] > biases[0])


def test_a_shorter_horizon_gives_smaller_biases() -> None:
    layer = build(ku.ContractiveRNN(3), norm=0.999)
    short = to_unitary(layer, input_bound=2.0, horizon=2)
    for_ever = to_unitary(layer, input_bound=2.0)
    assert np.all(to_numpy(short.cell.bias)[3:] > to_numpy(for_ever.cell.bias)[3:])


@pytest.mark.once
def test_jax_in_float64_in_its_own_process(run_python: Any) -> None:
    code = """
import keras, keras_urnn as ku
from keras_urnn.equivalence import to_unitary, verify_equivalence

keras.config.set_dtype_policy("float64")
layer = ku.ContractiveRNN(4, max_norm=0.999)
layer.build((None, None, 3))
converted = to_unitary(layer, input_bound=1.0)
report = verify_equivalence(layer, converted, input_bound=1.0)
assert report.equivalent, report
assert report.max_relative_difference <= 1e-12
assert report.unitarity_error <= 1e-12
print("equivalent")
"""
    out = run_python(code, KERAS_BACKEND="jax", JAX_ENABLE_X64="1")
    assert out.split() == ["equivalent"]


@pytest.mark.each_backend
def test_what_is_made_anew_makes_its_weights_as_its_class_does() -> None:
    unitary = to_unitary(build(ku.ContractiveRNN(3)), input_bound=BOUND)
    for part in (unitary, unitary.cell):
        assert "add_weight" not in vars(part)
