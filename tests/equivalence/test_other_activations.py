"""Layers whose activation isn't ReLU: added states rest exactly, wherever that is."""

from typing import Any

import keras
import numpy as np
import pytest

import keras_urnn as ku
from keras_urnn.equivalence import to_unitary, verify_equivalence
from keras_urnn.equivalence.verification.cell_runs import (
    rounding_tolerance,
    telling_steps,
)
from tests.equivalence.layers import STEPS, build, full_states, run
from tests.equivalence.networks import (
    BOUND,
    BOUNDED,
    CONVERTED,
    FEATURES,
    difference,
    inputs,
    recurrence,
    relu_layer,
    states,
)
from tests.helpers import Array, precision, to_numpy

ReLU = keras.layers.ReLU
N = 4
REST = {name: -1.0 if name == "hard_tanh" else 0.0 for name in CONVERTED}
# One of them for each way to start, in each dtype.
CASES = [
    ("relu6", "float32", True),
    ("hard_sigmoid", "float32", False),
    ("hard_sigmoid", "float64", True),
    ("hard_tanh", "float32", False),
    ("hard_tanh", "float32", True),
    ("hard_tanh", "float64", False),
    ("sparse_sigmoid", "float64", False),
    ("sparse_plus", "float32", True),
    ("hard_silu", "float32", False),
]


def layer_with(activation: Any, norm: float = 0.9, **kwargs: Any) -> Any:
    arguments = {"return_sequences": True, **kwargs}
    return build(ku.ContractiveRNN(N, activation, **arguments), norm)


def sequences(steps: int) -> Array:
    return inputs(recurrence(N, 0.9, 1), steps, seed=2).astype("float32")


@pytest.mark.parametrize(("name", "dtype", "learned"), CASES)
def test_the_outputs_are_the_same_over_1000_steps(
    name: str, dtype: str, learned: bool
) -> None:
    with precision(dtype):
        layer = layer_with(name, learn_initial_state=learned)
        converted = to_unitary(layer, input_bound=BOUND)
        x = sequences(STEPS).astype(dtype)
        expected, found = run(layer, x), full_states(converted, x)
    assert np.all(found[..., N:] == REST[name])
    tolerance = {"float32": 1e-6, "float64": 1e-12}[dtype]
    assert difference(expected, found[..., :N]) <= tolerance
    network = recurrence(N, 0.9, 1, dtype, learned=learned)
    oracle = states(network, x.astype("float64"), name)
    # The loop's own rounding, and NumPy's order of summation, remembered.
    assert difference(oracle, found[..., :N]) <= 30 * tolerance


# A ReLU with an upper end, one with a threshold, and two that are constant above only.
@pytest.mark.parametrize(
    ("arguments", "rest"),
    [
        ((2.0, 0.0, 0.0), 0.0),
        ((None, 0.0, 0.5), 0.0),
        ((1.5, 0.25, 0.0), 1.5),
        ((0.3, 0.5, 0.25), np.float32(0.3)),
    ],
    ids=str,
)
@pytest.mark.parametrize("make", [ku.ContractiveRNN, keras.layers.SimpleRNN])
def test_a_relu_layer_as_activation_is_converted(
    make: Any, arguments: tuple[float, float, float], rest: float
) -> None:
    layer = build(make(N, ReLU(*arguments), return_sequences=True))
    converted = to_unitary(layer, input_bound=BOUND)
    assert converted.activation is not layer.activation
    x = sequences(40)
    expected, found = run(layer, x), full_states(converted, x)
    assert np.all(found[..., N:] == rest)
    assert difference(expected, found[..., :N]) <= 1e-6
    network = recurrence(N, 0.9, 1, "float32", learned=False)
    h, activate = np.zeros((len(x), N), "float32"), relu_layer(*arguments)
    for t in range(x.shape[1]):
        z = h @ network.recurrent_matrix + x[:, t] @ network.kernel + network.bias
        h = activate(z.astype("float32"))
    assert difference(h, found[:, -1, :N]) <= 1e-5
    report = verify_equivalence(
        layer, converted, input_bound=BOUND, steps=20, batch_size=2, search=False
    )
    assert report.equivalent, report


@pytest.mark.parametrize("name", CONVERTED)
def test_a_conversion_is_certified(name: str) -> None:
    layer = layer_with(name)
    converted = to_unitary(layer, input_bound=BOUND)
    report = verify_equivalence(
        layer, converted, input_bound=BOUND, steps=100, batch_size=2, search=False
    )
    assert report.equivalent, report
    assert report.largest_added_state == 0.0
    assert report.smallest_distance > 0.0


def changed(position: int, column: int) -> list[str]:
    """The objections to a conversion of hard_tanh, one number of which is changed."""
    layer = layer_with("hard_tanh", learn_initial_state=True)
    converted = to_unitary(layer, input_bound=BOUND)
    weights = converted.get_weights()
    weights[position][column] += 0.25
    converted.set_weights(weights)
    report = verify_equivalence(
        layer, converted, input_bound=BOUND, steps=5, batch_size=2, search=False
    )
    return list(report.reasons)


@pytest.mark.parametrize(
    ("position", "column", "words"),
    [
        (2, 0, "the bias is not the original's"),
        (2, -1, "the bias of an added state is beyond what is proved"),
        (3, -1, "an added state does not start at rest"),
        (3, 0, "the initial state is not the original's"),
    ],
)
def test_one_number_changed_is_reported(position: int, column: int, words: str) -> None:
    assert words in "\n".join(changed(position, column))


@pytest.mark.parametrize(
    ("column", "words"),
    [
        (0, "the resting state is not the original's"),
        (-1, "an added state sends something at rest"),
    ],
)
def test_another_centre_is_reported(column: int, words: str) -> None:
    layer = layer_with("hard_tanh", learn_initial_state=True)
    converted = to_unitary(layer, input_bound=BOUND)
    config = converted.get_config()
    config["resting_state"][column] += 0.25
    other = ku.UnitaryRNN.from_config(config)
    other.build((None, None, FEATURES))
    other.set_weights(converted.get_weights())
    report = verify_equivalence(
        layer, other, input_bound=BOUND, steps=5, batch_size=2, search=False
    )
    assert words in "\n".join(report.reasons)
    assert report.differences


def test_states_that_rest_elsewhere_start_there() -> None:
    converted = to_unitary(layer_with("hard_tanh"), input_bound=BOUND)
    assert converted.resting_state == N * [0.0] + N * [-1.0]
    learned = to_unitary(
        layer_with("hard_tanh", learn_initial_state=True), input_bound=BOUND
    )
    assert learned.resting_state == converted.resting_state
    assert to_numpy(learned.cell.learned_initial_state)[N:].tolist() == N * [-1.0]
    assert to_unitary(layer_with("relu6"), input_bound=1.0).resting_state is None


def test_a_stateful_layer_goes_back_to_its_rest() -> None:
    layer = build(
        ku.ContractiveRNN(N, "hard_tanh", stateful=True, return_sequences=True),
        batch=4,
    )
    converted = to_unitary(layer, input_bound=BOUND)
    x = sequences(6)[:4]
    for _ in range(2):
        layer.reset_state()
        converted.reset_state()
        for _ in range(2):
            expected, found = to_numpy(layer(x)), to_numpy(converted(x))
        assert difference(expected, found) <= 1e-6
        assert np.all(to_numpy(converted.states[1]) == -1.0)


def test_a_stateful_rnn_that_is_reset_to_0_is_refused() -> None:
    cells = [
        keras.layers.SimpleRNNCell(N, "hard_tanh"),
        ku.ContractiveRNNCell(N, "hard_tanh", learn_initial_state=True),
    ]
    for cell in cells:
        layer = keras.layers.RNN(cell, stateful=True, name="over_cells")
        build(layer, batch=4)
        with pytest.raises(ValueError, match="over_cells: a stateful"):
            to_unitary(layer, input_bound=BOUND)
    cell = ku.ContractiveRNNCell(N, resting_state=[1.0, 0.0, -1.0, 2.0])
    relu = keras.layers.RNN(cell, stateful=True, return_sequences=True)
    converted = to_unitary(build(relu, batch=4), input_bound=BOUND)
    x = sequences(6)[:4]
    for layer in (relu, converted):
        layer(x)
        layer.reset_state()
    assert difference(to_numpy(relu(x)), to_numpy(converted(x))) <= 1e-6


def test_masks_and_a_given_state_work_as_before() -> None:
    layer = layer_with("hard_tanh", return_state=True)
    converted = to_unitary(layer, input_bound=BOUND)
    mask = np.array([[False, True, True, False, True, True]] * 4)
    arguments = {"mask": mask, "initial_state": np.full((4, N), 0.5, "float32")}
    expected, last = layer(sequences(6)[:4], **arguments)
    found, new_last, added = converted(sequences(6)[:4], **arguments)
    assert difference(to_numpy(expected), to_numpy(found)) <= 1e-6
    assert difference(to_numpy(last), to_numpy(new_last)) <= 1e-6
    assert np.all(to_numpy(added) == -1.0)


def test_it_is_saved_with_its_rest(tmp_path: Any) -> None:
    layer = layer_with(ReLU(1.5, 0.25))
    model = keras.Sequential([keras.Input((6, FEATURES)), layer])
    converted = to_unitary(model, input_bound=BOUND)
    converted.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    x = sequences(6)
    expected = to_numpy(converted(x))
    np.testing.assert_array_equal(to_numpy(loaded(x)), expected)
    assert difference(to_numpy(model(x)), expected) <= 1e-6


@pytest.mark.parametrize("name", CONVERTED)
def test_norm_1_needs_a_horizon_where_the_activation_is_not_bounded(name: str) -> None:
    layer = keras.layers.SimpleRNN(N, name, return_sequences=True)
    layer.build((None, None, FEATURES))
    layer.cell.recurrent_kernel.assign(np.diag([1.0, 0.5, -1.0, 0.0]))
    if name in BOUNDED:
        converted = to_unitary(layer, input_bound=BOUND)
    else:
        with pytest.raises(ValueError, match=r"spectral norm 1.*`horizon`.*'relu6'"):
            to_unitary(layer, input_bound=BOUND)
        converted = to_unitary(layer, input_bound=BOUND, horizon=50)
    assert converted.units == N + 2
    x = sequences(50)
    expected, found = run(layer, x), full_states(converted, x)
    assert np.all(found[..., N:] == REST[name])
    assert difference(expected, found[..., :N]) <= 1e-5  # 50 steps' rounding


def test_an_orthogonal_layer_of_bounded_activation_needs_no_added_state() -> None:
    layer = keras.layers.SimpleRNN(N, "hard_tanh")
    layer.build((None, None, FEATURES))
    converted = to_unitary(layer, input_bound=BOUND)
    assert (converted.units, converted.resting_state) == (N, None)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize("name", ["hard_tanh", "sparse_plus", "hard_silu"])
def test_added_states_rest_exactly_in_half_precision(name: str, policy: str) -> None:
    with precision(policy):
        layer = layer_with(name)
        converted = to_unitary(layer, input_bound=BOUND)
        x = sequences(50)
        found = full_states(converted, x)
        assert np.all(found[..., N:] == REST[name])
        # A unit of rounding of the largest value, remembered for ten steps.
        assert difference(run(layer, x), found[..., :N]) <= 0.08


@pytest.mark.parametrize("name", ["sparse_plus", "hard_silu"])
def test_a_bias_that_overflows_half_precision_is_refused(name: str) -> None:
    with precision("mixed_float16"):
        layer = layer_with(name)
        with pytest.raises(ValueError, match=r"largest number is 65504.*bias -"):
            to_unitary(layer, input_bound=6e4)
        # Bounded ones need a small one whatever enters.
        assert to_unitary(layer_with("hard_tanh"), input_bound=6e4).built


def test_a_bounded_activation_needs_a_small_bias() -> None:
    largest = {
        name: np.abs(to_numpy(to_unitary(layer, input_bound=BOUND).cell.bias)[N:]).max()
        for name in ("relu", "relu6", "hard_tanh")
        for layer in [layer_with(name, norm=0.999)]
    }
    # √n 6 and √n + 2 bound what the added states see, and where they rest.
    assert largest["relu"] > largest["relu6"] > largest["hard_tanh"]
    assert largest["relu6"] <= 6.0 * np.sqrt(N) * 1.05
    assert largest["hard_tanh"] <= (np.sqrt(N) + 2.0) * 1.05


def chaotic() -> Any:
    """A hard_silu recurrence of norm 0.999 in which small differences grow.

    It is steeper than the identity just below 3, so that its steps may be expansive.
    """
    generator = np.random.default_rng(1526)
    q, _ = np.linalg.qr(generator.normal(size=(3, 3)))
    layer = keras.layers.SimpleRNN(3, "hard_silu", return_sequences=True)
    layer.build((None, None, 1))
    bias = 3.0 * generator.normal(size=3)
    layer.set_weights([np.zeros((1, 3)), 0.999 * q, bias])
    return layer


def test_outputs_are_compared_while_rounding_has_not_taken_over() -> None:
    with precision("float32"):
        layer = chaotic()
        _, R, b = layer.get_weights()
        h, nearby = np.zeros(3), np.full(3, 1e-9)
        for _ in range(STEPS):
            h = CONVERTED["hard_silu"](h @ R + b)
            nearby = CONVERTED["hard_silu"](nearby @ R + b)
        assert np.abs(h - nearby).max() > 0.1
        converted = to_unitary(layer, input_bound=1.0)
        report = verify_equivalence(
            layer, converted, input_bound=1.0, steps=STEPS, search=False
        )
    assert report.equivalent, report
    assert report.largest_added_state == 0.0


def test_the_steps_that_tell_something() -> None:
    assert telling_steps("float32", 1.0, STEPS) == STEPS
    assert telling_steps("float32", 0.5, STEPS) == STEPS
    assert 1.5 ** telling_steps("float32", 1.5, STEPS) <= 2.0**24
    assert 1.5 ** (1 + telling_steps("float32", 1.5, STEPS)) > 2.0**24
    assert telling_steps("float64", np.inf, STEPS) == 1
    assert rounding_tolerance("float32", np.inf, STEPS) < 2e-6
    assert rounding_tolerance("float32", 1.5, 10) == pytest.approx(
        1e-6 + 2.0**-24 * 10 * 1.5**9, rel=1e-12
    )
    assert rounding_tolerance("float32", 1.5, STEPS) == 0.5
